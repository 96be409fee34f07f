-- Moves keys aside that are not of the type that they should have, so that reads by plain commands succeed again.
--
-- Keys:    `damaged`, `damaged:<name>`, and those named
-- ARGV:    version, then for each key: name, type that it should have
-- Replies: mended <number of keys moved>
-- States:  none
-- Includes: prelude
local moved = 0
for at = 2, #ARGV, 2 do
  local where, kind = key(ARGV[at]), ARGV[at + 1]
  local found = redis.call('TYPE', where).ok
  if found ~= 'none' and found ~= kind and not is_of_job(where) then
    move_aside(where, 'it is a ' .. found .. ' and not a ' .. kind)
    moved = moved + 1
  end
end
return { 'mended', moved }
