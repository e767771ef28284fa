"""Rate limits: which limiter decides where, and why.

All limits are of one kind, a `Rate` of units per period with a burst (engine/limits/rate.py, GCRA). A
subject is charged a cost, and the decision allows it or says `retry_after`. What differs is where the one
number of a subject is kept:

- `LocalRateLimiter`: in the memory of this process. A decision takes a microsecond and nothing can be away.
  For visitors at an edge (api/visits/limits.py: the hot path, thousands of requests per second, and a limit
  only has to keep one sender from taking an edge's time), and for conversions without a key
  (api/experiments/conversion_ingest.py). Each process allows the whole rate.
- the shared limiter: in Redis (storage/limits/redis_limiter.py), one limit over all consoles, at a round trip
  for each decision. For passwords (api/accounts/login_throttle.py), where guesses must not be multiplied by
  the number of consoles. It fails closed: without Redis, nobody logs in.
- `LayeredRateLimiter`: for the console's API (api/http/rate_limits.py), where a round trip for each request
  would cost more than many requests do. A subject with plenty left spends credit (engine/limits/credit.py),
  one request in ten asks the shared limiter, and while that is unavailable this process decides alone. It
  fails open, as the API is worth more than an exact limit.

Two limits look alike and are none of these: an engine sends GitHub one request at a time, under a lease
(engine/github/ports.py), and pauses as GitHub's `Retry-After` says; each webhook has a circuit breaker, whose
rate and burst follow its receiver (engine/webhooks/circuit_breaker.py).
"""
