//! The other layers, one by one, and the clock.

use buttress::{ErrorLayer, clock, metrics::Metrics, recover::Recover};
use tower::{Layer, util::MapErr};

use super::{entries, recorder};
use crate::{
    drive::Subject,
    floor,
    service::{Broken, Plain, answer},
};

entries! { CLOCK, "clock/read":
    "bare" => Subject::function(|i| i),
    "floor" => {
        #[allow(clippy::disallowed_types)] // the clock that there is without ours
        Subject::function(|_| std::time::Instant::now())
    },
    "buttress" => Subject::function(|_| clock::now()),
}

entries! { RECOVER, "recover":
    "bare" => Subject::plain(Plain),
    "floor" => Subject::function(|i| floor::recover(|| answer(i))),
    "buttress" => Subject::plain(Recover::new().layer().layer(ErrorLayer::new().layer(Plain))),
}

entries! { METRICS, "metrics":
    "bare" => Subject::plain(Plain),
    "floor" => {
        let books = floor::Books::new();
        Subject::function(move |i| floor::Books::call(&books, || Some(answer(i))))
    },
    "metrics-facade+prometheus" => Subject::function(recorder::counted()),
    "buttress" => Subject::plain(Metrics::new().layer().layer(ErrorLayer::new().layer(Plain))),
}

entries! { ERROR, "error":
    "bare" => Subject::plain(Plain),
    "buttress" => Subject::plain(ErrorLayer::new().layer(Plain)),
    "tower-map-err" => {
        let map: fn(Broken) -> buttress::Error<Broken> = buttress::Error::Inner;
        Subject::plain(MapErr::new(Plain, map))
    },
}
