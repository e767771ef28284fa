"""Rate limits: the limiters, and the places where each of them decides.

All limits are of one kind, a `Rate` of units per period with a burst (engine/limits/rate.py, GCRA). A
subject is charged a cost, and the decision allows it or says `retry_after`. The limiters differ in where they
keep the one number of a subject:

- `LocalRateLimiter`: in the memory of this process. A decision takes a microsecond and needs no server.
  For visitors at an edge (api/visits/limits.py: the hot path, thousands of requests per second, and a limit
  only has to keep one client from taking an edge's time), and for conversions without an API key
  (api/experiments/conversion_ingest.py). Each process allows the whole rate.
- the shared limiter: in Redis (storage/limits/redis_limiter.py), one limit over all consoles, at a round trip
  for each decision. For passwords (api/accounts/login_throttle.py), where guesses must not be multiplied by
  the number of consoles. It fails closed: without Redis, no user can log in.
- `LayeredRateLimiter`: for the console's API (api/http/rate_limits.py), where a round trip for each request
  would cost more than many requests do. A subject with plenty left spends credit (engine/limits/credit.py),
  one request in ten asks the shared limiter, and while that is unavailable this process decides alone. It
  fails open, as the API is worth more than an exact limit.

Two similar limits are not rate limits of this kind: an engine sends GitHub one request at a time, under a lease
(engine/github/ports.py), and pauses as GitHub's `Retry-After` says; each webhook has a circuit breaker, whose
rate and burst follow its receiver (engine/webhooks/circuit_breaker.py).
"""
