function shown = rtbids_thermometer(place, second, lowest, highest, silence)
% RTBIDS_THERMOMETER  A task: a thermometer that shows the feedback of "rtbids run", and sends the buttons that are pressed.
%
%   rtbids_thermometer('192.168.0.10', 5555)             feedback from the network, shown from -1 to 1
%   rtbids_thermometer('192.168.0.10', 5555, -2, 2)      from -2 to 2
%   rtbids_thermometer('feedback.jsonl', 'buttons')      feedback from a file, responses to a named pipe
%
% With Psychtoolbox it is a bar in a window: the keys 1 to 4 are sent as responses, escape ends. Without it, it is made of
% characters, the first line that is shown is answered with a response, and it ends when nothing came for `silence` seconds (30).
% It returns how many lines were shown. Needs rtbids_client.m.
if nargin < 3, lowest = -1; end
if nargin < 4, highest = 1; end
if nargin < 5, silence = 30; end
client = rtbids_client('open', place, second);
if exist('Screen') == 3 || exist('Screen') == 2
  shown = show_in_a_window(client, lowest, highest);
else
  shown = show_as_text(client, lowest, highest, silence);
end
rtbids_client('close', client);
end


function shown = show_in_a_window(client, lowest, highest)
[window, area] = Screen('OpenWindow', max(Screen('Screens')), 0);
KbName('UnifyKeyNames');
names = {'1!', '2@', '3#', '4$'};
keys = KbName(names);
middle = area(3) / 2;
bottom = 0.9 * area(4);
tall = 0.8 * area(4);
shown = 0;
full = 0;
before = false(1, numel(keys));
while true
  [~, ~, down] = KbCheck();
  if down(KbName('ESCAPE')), break; end
  for place = find(down(keys) & ~before)
    rtbids_client('respond', client, 'button', names{place}(1));
  end
  before = logical(down(keys));
  [client, lines] = rtbids_client('read', client);
  shown = shown + numel(lines);
  if ~isempty(lines)
    full = height(lines{end}, lowest, highest, full);
  end
  Screen('FrameRect', window, 255, [middle - 50, bottom - tall, middle + 50, bottom], 2);
  Screen('FillRect', window, [255 0 0], [middle - 48, bottom - full * tall, middle + 48, bottom]);
  Screen('Flip', window);
end
Screen('CloseAll');
end


function shown = show_as_text(client, lowest, highest, silence)
shown = 0;
full = 0;
quiet = tic;
while toc(quiet) < silence
  [client, lines] = rtbids_client('read', client);
  for place = 1:numel(lines)
    line = lines{place};
    full = height(line, lowest, highest, full);
    bar = repmat('#', 1, round(40 * full));
    fprintf('%5d |%-40s| %s (%s)\n', line.volume, bar, number(line.value), line.status);
    if shown == 0
      rtbids_client('respond', client, 'button', '1');
    end
    shown = shown + 1;
    quiet = tic;
  end
  pause(1 / 60);  % as a screen would
end
end


function full = height(line, lowest, highest, before)
full = before;
if isnumeric(line.value) && ~isempty(line.value)
  full = min(1, max(0, (line.value - lowest) / (highest - lowest)));
end
end


function text = number(value)
if isnumeric(value)
  text = num2str(value, 10);
else
  text = jsonencode(value);
end
end
