# The image of the service `send` in compose.yaml. Build it from the root of the repository.
FROM python:3.11-slim
COPY . /src
RUN pip install --no-cache-dir "/src[cloud]" \
    && rm -rf /src \
    && useradd --system --uid 990 --create-home --home-dir /var/lib/rtbids rtbids \
    && install -d -o rtbids -m 0700 /var/lib/rtbids/outbox
USER rtbids
ENV RTBIDS_SITE_KEY=/run/secrets/site_key PYTHONUNBUFFERED=1
VOLUME /var/lib/rtbids/outbox
STOPSIGNAL SIGTERM
ENTRYPOINT ["rtbids"]
