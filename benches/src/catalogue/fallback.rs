//! Fallbacks, needed and not.

use buttress::{ErrorLayer, fallback::Fallback};
use tower::{Layer, Service};
use tower_resilience::fallback::FallbackLayer;

use super::entries;
use crate::{
    drive::Subject,
    floor::Spare,
    service::{Broken, FAIL, Plain, answer},
};

fn buttress() -> impl Service<u64> + Send + 'static {
    let fallback = Fallback::value(7).build().expect("in order");
    fallback.layer().layer(ErrorLayer::new().layer(Plain))
}

/// It clones the request, of which it keeps nothing that a value would need, and boxes the future.
fn tower_resilience() -> impl Service<u64> + Send + 'static {
    FallbackLayer::<u64, u64, Broken>::value(7).layer(Plain)
}

entries! { NOT_NEEDED, "fallback":
    "bare" => Subject::plain(Plain),
    "floor" => {
        let spare = Spare::new();
        Subject::function(move |i| Spare::call(&spare, || answer(i)))
    },
    "buttress" => Subject::plain(buttress()),
    "tower-resilience" => Subject::plain(tower_resilience()),
}

entries! {
    /// Every call fails, and is answered with a value.
    ANSWERED, "fallback/answered":
    "bare" => Subject::every_call_fails(Plain),
    "floor" => {
        let spare = Spare::new();
        Subject::function(move |i| Spare::call(&spare, || answer(i | FAIL)))
    },
    "buttress" => Subject::every_call_fails(buttress()),
    "tower-resilience" => Subject::every_call_fails(tower_resilience()),
}
