//! Which request bodies the clients take where a request may be sent again.

use buttress::{http::ReplayBody, replay::With};

/// The mode for a client that takes bodies of type `H`, called with bodies of type `B`.
pub type Taking<H, B = H> = With<fn(ReplayBody<B>) -> H>;

/// For tonic's channel.
#[must_use]
pub fn tonic() -> Taking<tonic::body::Body> {
    With(tonic::body::Body::new)
}
