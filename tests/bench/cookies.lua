-- wrk: a new session cookie for each request, read line by line from the file that `seal.rs` wrote; begins anew at its end.
local file, first

function init(args)
  file = assert(io.open(args[1]))
  first = wrk.path
end

function request()
  local line = file:read("*l")
  if not line then
    file:seek("set")
    line = file:read("*l")
  end
  wrk.headers["Cookie"] = line
  return wrk.format(nil, first)
end
