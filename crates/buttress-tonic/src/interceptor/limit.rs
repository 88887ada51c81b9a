use buttress::rate_limit::RateLimiter;
use tonic::{Request, Status, service::Interceptor};

use super::method::method;

/// Refuses calls beyond a rate. An interceptor cannot wait, so nor does this, whatever the limiter's `max_wait`.
#[derive(Clone, Debug)]
pub struct Limit {
    limiter: RateLimiter,
    by_method: bool,
}

impl Limit {
    /// One limit for all calls.
    #[must_use]
    pub const fn new(limiter: RateLimiter) -> Self {
        Self {
            limiter,
            by_method: false,
        }
    }

    /// On a client, one limit a method, of a limiter that is [keyed](buttress::rate_limit::RateLimiterBuilder::keyed):
    /// its key is `/package.Service/Method`. Calls without a method share one.
    #[must_use]
    pub const fn by_method(limiter: RateLimiter) -> Self {
        Self {
            limiter,
            by_method: true,
        }
    }
}

impl Interceptor for Limit {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let permit = if self.by_method {
            let method = method(&request).unwrap_or_default();
            self.limiter.try_acquire_for(method.as_str(), 1)
        } else {
            self.limiter.try_acquire(1)
        };
        match permit {
            Ok(_spent) => Ok(request),
            Err(rejected) => Err(crate::status(&rejected)),
        }
    }
}
