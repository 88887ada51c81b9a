use buttress::{
    Rejected, RejectionKind,
    admission::Admission,
    circuit_breaker::{CircuitBreaker, KeyedCircuitBreaker},
    clock,
};
use tonic::{Request, Status, service::Interceptor};

use super::method::method;

/// Refuses calls while a breaker would refuse them. It only reads: it takes no probe and records nothing. How calls end
/// is told to the breaker by a layer that shares it, further in.
#[derive(Clone, Debug)]
pub struct Check {
    breakers: Breakers,
}

#[derive(Clone, Debug)]
enum Breakers {
    One(CircuitBreaker),
    ByMethod(KeyedCircuitBreaker),
}

impl Check {
    /// One breaker for all calls.
    #[must_use]
    pub const fn new(breaker: CircuitBreaker) -> Self {
        Self {
            breakers: Breakers::One(breaker),
        }
    }

    /// On a client, one breaker a method: its key is `/package.Service/Method`. A call without a method, as one by hand
    /// is, is let through.
    #[must_use]
    pub const fn by_method(breakers: KeyedCircuitBreaker) -> Self {
        Self {
            breakers: Breakers::ByMethod(breakers),
        }
    }
}

impl Interceptor for Check {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let breaker = match &self.breakers {
            Breakers::One(breaker) => breaker.clone(),
            Breakers::ByMethod(breakers) => match method(&request) {
                // One that was never used has nothing against the call.
                Some(method) if breakers.state(&method).is_some() => breakers.get(&method),
                _ => return Ok(request),
            },
        };
        let now = clock::now();
        if breaker.would_admit(now) {
            return Ok(request);
        }
        let mut rejected = Rejected::new(RejectionKind::CircuitOpen, breaker.name());
        if let Some(chance) = breaker.next_chance(now) {
            rejected = rejected.with_retry_after(chance.saturating_duration_since(now));
        }
        Err(crate::status(&rejected))
    }
}
