function varargout = rtbids_client(action, varargin)
% RTBIDS_CLIENT  Receive the feedback of "rtbids run" and send responses back.
%
% For MATLAB (R2016b or later) and Octave (7 or later), with or without Psychtoolbox. Copy this file beside your task.
% MATLAB needs nothing else; Octave needs its package instrument-control for the network:
%   apt install octave-instrument-control, or  pkg install -forge instrument-control
%
% On the machine of the analysis:
%   rtbids run EXPERIMENT SOURCE --feedback tcp://0.0.0.0:5555 --responses tcp://0.0.0.0:5555
% and in your task:
%   client = rtbids_client('open', '192.168.0.10', 5555);
%   [client, lines] = rtbids_client('read', client);      % in every frame; it waits for nothing
%   if ~isempty(lines), value = lines{end}.value; end
%   rtbids_client('respond', client, 'button', '1');
%   rtbids_client('close', client);
%
% On the machine of the analysis itself a file and a named pipe will do, without any package:
%   rtbids run EXPERIMENT SOURCE --feedback feedback.jsonl --responses buttons      (made with: mkfifo buttons)
%   client = rtbids_client('open', 'feedback.jsonl', 'buttons');
%
% lines is a cell array of structs, in order: experiment, run, volume (from 0), value (a number, a struct, or [] where there
% is none), status ('ok' or 'alternate'; in a file also 'late'), reason, received, due, sent (POSIX seconds).
switch action
  case 'open'
    varargout{1} = open_client(varargin{:});
  case 'read'
    [varargout{1}, varargout{2}] = read_lines(varargin{1});
  case 'respond'
    respond(varargin{:});
  case 'close'
    close_client(varargin{1});
  otherwise
    error('rtbids_client: expected open, read, respond or close, found %s', action);
end
end


function client = open_client(place, second)
client = struct('socket', [], 'file', -1, 'pipe', -1, 'pending', '');
if nargin > 1 && isnumeric(second)
  if is_octave()
    load_network();
  end
  try
    client.socket = tcpclient(place, second);
  catch failure
    error('rtbids_client: no run listens at %s:%d: start it first (%s)', place, second, failure.message);
  end
  return
end
client.file = fopen(place, 'r');
if client.file < 0
  error('rtbids_client: %s cannot be read; is the run there?', place);
end
if nargin > 1
  client.pipe = fopen(second, 'w');
  if client.pipe < 0
    error('rtbids_client: %s cannot be written', second);
  end
end
end


function load_network()
if exist('tcpclient') == 0  % 2: a file, 3: compiled
  try
    pkg('load', 'instrument-control');
  catch
    error('rtbids_client: Octave needs its package instrument-control: pkg install -forge instrument-control');
  end
end
end


function [client, lines] = read_lines(client)
client.pending = [client.pending, new_text(client)];
lines = {};
ends = find(client.pending == char(10));
start = 1;
for place = ends
  text = client.pending(start:place - 1);
  start = place + 1;
  if ~isempty(strtrim(text))
    lines{end + 1} = jsondecode(text); %#ok<AGROW>
  end
end
client.pending = client.pending(start:end);
end


function text = new_text(client)
text = '';
if ~isempty(client.socket)
  count = waiting(client.socket);
  if count > 0
    text = char(reshape(read(client.socket, count), 1, []));
  end
else
  fseek(client.file, 0, 'cof');  % forget that the end was reached: the file grows
  text = char(reshape(fread(client.file, Inf, 'uint8'), 1, []));
end
end


function count = waiting(connection)
try
  count = connection.NumBytesAvailable;
catch
  count = connection.BytesAvailable;  % its name before R2020b
end
end


function respond(client, event, value, duration)
fields = struct('event', event, 'time', posix_time());
if nargin > 2 && ~isempty(value)
  fields.value = value;
end
if nargin > 3
  fields.duration = duration;
end
line = [jsonencode(fields), char(10)];
if ~isempty(client.socket)
  write(client.socket, uint8(line));
elseif client.pipe >= 0
  fwrite(client.pipe, uint8(line), 'uint8');
  fflush_if_needed(client.pipe);
else
  error('rtbids_client: there is no named pipe for responses');
end
end


function fflush_if_needed(file)
if is_octave()  % MATLAB writes at once to what was opened with 'w', Octave when its buffer is full
  fflush(file);
end
end


function close_client(client)
if client.file >= 0
  fclose(client.file);
end
if client.pipe >= 0
  fclose(client.pipe);
end
% a connection is closed with the last variable that has it: clear client
end


function seconds = posix_time()
if is_octave()
  seconds = time();
else
  seconds = posixtime(datetime('now', 'TimeZone', 'UTC'));
end
end


function answer = is_octave()
answer = exist('OCTAVE_VERSION', 'builtin') ~= 0;
end
