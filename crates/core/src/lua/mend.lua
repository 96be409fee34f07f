-- Moves keys of the wrong type aside, so that plain commands on them succeed again.
--
-- Keys:    those named in ARGV
-- ARGV:    version, then for each key: name, expected type
-- Replies: mended <number of keys moved>
-- States:  none
-- Includes: prelude
local moved = 0
for at = 2, #ARGV, 2 do
  local where, kind = key(ARGV[at]), ARGV[at + 1]
  local found = redis.call('TYPE', where).ok
  if found ~= 'none' and found ~= kind and not is_of_job(where) then
    move_aside(where, 'its type is ' .. found .. ', not ' .. kind)
    moved = moved + 1
  end
end
return { 'mended', moved }
