-- Limits on domains and templates, as a claim is told of them: which are in force, and for which lines the worker has leave.
local limited, any_limited, turns = {}, tonumber(ARGV[7]) > 0, {}
for at = 8, 7 + tonumber(ARGV[7]) do limited[ARGV[at]] = true end
for at = 8 + tonumber(ARGV[7]), #ARGV, 3 do
  turns[ARGV[at]] = { mails = tonumber(ARGV[at + 1]), again_ms = tonumber(ARGV[at + 2]) }
end

-- Its limits may have been lifted since somebody was put there.
local function is_limited(line)
  for name in string.gmatch(line, '%S+') do
    if limited[name] then return true end
  end
  return false
end

local function has_turn(line)
  if not is_limited(line) then return true end
  return turns[line] ~= nil and turns[line].mails > 0
end
local function use_turn(line)
  if turns[line] then turns[line].mails = turns[line].mails - 1 end
end
local function again_ms(line) return turns[line] and turns[line].mails <= 0 and turns[line].again_ms or 0 end

-- The mail's own content; of a large one, only what can be told without it.
local LARGE = 65536
local function content_of(job)
  if redis.call('STRLEN', payload_key(job.id)) > LARGE then return {} end
  local payload = redis.call('GET', payload_key(job.id))
  local line = payload and string.match(payload, '^[^\n]*\n([^\n]*)')
  local fine, content = pcall(cjson.decode, line or '')
  return fine and type(content) == 'table' and content or {}
end

-- The domain of the first that it is `to`.
local function domain_of(content)
  local to = type(content.to) == 'table' and content.to[1] or content.to
  return type(to) == 'string' and string.match(string.lower(to), '@([^@>%s]+)>?%s*$') or nil
end

local function template_of(job, content)
  if type(content.template) == 'string' then return content.template end
  return job.batch ~= '-' and redis.call('HGET', batch_key(job.batch), 'template') or nil
end

-- The line of the limits that the job is under, or nil.
local function limits_on(job)
  if not any_limited then return nil end
  local content = content_of(job)
  local domain, template = 'domain.' .. (domain_of(content) or ''), 'template.' .. (template_of(job, content) or '')
  if limited[domain] and limited[template] then return domain .. ' ' .. template end
  return limited[domain] and domain or limited[template] and template or nil
end

-- It waits in that line, which is asked leave for at once.
local function park(job, line)
  redis.call('RPUSH', line_key(line, job.priority), job.id)
  redis.call('ZADD', key('lines'), 'NX', int(now), line)
  puts_off = true
end
