use std::{collections::BTreeMap, sync::Arc};

use super::Priority;
use crate::{config::Problems, outcome::RequestProtocol};

/// How important a request is: what a [layer](super::PriorityLayer) asks of each.
pub trait Classify<Request, P> {
    /// The class of a request in `protocol`: by the options `configured` in the policy, and by what its context says that
    /// is `known`, if it goes by those.
    fn classify(
        &self,
        protocol: &P,
        request: &Request,
        known: Option<Priority>,
        configured: &Classifier,
    ) -> Priority;
}

/// Classes by the [`Classifier`] in the policy's options. What a layer does by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Configured;

/// Classes by a closure over the request, and by nothing else; from [`PriorityLayer::classify`](super::PriorityLayer::classify).
#[derive(Clone, Copy)]
pub struct By<F>(pub(super) F);

/// Where the class of a request is looked for, in this order:
///
/// 1. What this process has said already: a [`Priority`] in the request's extensions, else the
///    [context's](crate::CallContext::priority), be it in the request or [current](crate::CallContext::current).
/// 2. What the client claims in a [field](Self::field), if that is configured: a header, or gRPC metadata.
/// 3. The table of [routes](Self::route). Where there is a claim too, the route's class is the most it can claim.
/// 4. The [class of all others](Self::otherwise).
///
/// A claim is believed only within bounds: everybody thinks that their own calls are important.
///
/// ```
/// use buttress::priority::{Classifier, Priority};
///
/// let classifier = Classifier::default()
///     .field("priority")                                     // RFC 9218, or a class by name
///     .claims(Priority::LOW..=Priority::HIGH)                // critical is not for outsiders
///     .route("/checkout.Orders/Place", Priority::CRITICAL)
///     .otherwise(Priority::NORMAL);
/// # let _ = classifier;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Classifier {
    field: Option<Arc<str>>,
    least: Priority,
    most: Priority,
    routes: BTreeMap<Arc<str>, Priority>,
    otherwise: Priority,
}

impl Default for Classifier {
    fn default() -> Self {
        Self::new()
    }
}

impl Classifier {
    /// No claims, no routes: [`NORMAL`](Priority::NORMAL), unless this process has said something else.
    pub const fn new() -> Self {
        Self {
            field: None,
            least: Priority::new(0),
            most: Priority::HIGH,
            routes: BTreeMap::new(),
            otherwise: Priority::NORMAL,
        }
    }

    /// Believes what clients claim in the header, or the gRPC metadata, of that name, see
    /// [`Priority::from_field`]: `priority` is RFC 9218's. What is malformed claims nothing.
    pub fn field(mut self, name: impl Into<Arc<str>>) -> Self {
        self.field = Some(name.into());
        self
    }

    /// What can be claimed (0 up to [`HIGH`](Priority::HIGH)): what is outside is taken for the nearest inside.
    pub fn claims(mut self, range: std::ops::RangeInclusive<Priority>) -> Self {
        (self.least, self.most) = range.into_inner();
        self
    }

    /// The class of a route: a gRPC method, a matched route; never a raw path.
    pub fn route(mut self, route: impl Into<Arc<str>>, class: Priority) -> Self {
        self.routes.insert(route.into(), class);
        self
    }

    /// The class of all others ([`NORMAL`](Priority::NORMAL)).
    pub fn otherwise(mut self, class: Priority) -> Self {
        self.otherwise = class;
        self
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        problems.check(
            self.least <= self.most,
            "classify.max",
            self.most,
            "at least `classify.min`",
        );
        if let Some(field) = &self.field {
            let token =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
            problems.check(
                !field.is_empty() && field.bytes().all(token),
                "classify.header",
                field,
                "the name of a header, in lower case",
            );
        }
    }

    /// What is configured, but for what this process has said.
    fn by_request<Request, P: RequestProtocol<Request>>(&self, protocol: &P, request: &Request) -> Priority {
        let route = match self.routes.is_empty() {
            true => None,
            false => protocol
                .route(request)
                .and_then(|route| self.routes.get(route))
                .copied(),
        };
        let claim = self.field.as_ref().and_then(|name| {
            let claim = Priority::from_field(protocol.field(request, name)?)?;
            Some(claim.clamp(self.least, self.most))
        });
        match (claim, route) {
            (Some(claim), Some(route)) => claim.min(route),
            (claim, route) => claim.or(route).unwrap_or(self.otherwise),
        }
    }
}

impl<Request, P: RequestProtocol<Request>> Classify<Request, P> for Configured {
    #[inline]
    fn classify(
        &self,
        protocol: &P,
        request: &Request,
        known: Option<Priority>,
        configured: &Classifier,
    ) -> Priority {
        let said = protocol.extension::<Priority>(request).copied().or(known);
        said.unwrap_or_else(|| configured.by_request(protocol, request))
    }
}

impl<Request, P, F: Fn(&Request) -> Priority> Classify<Request, P> for By<F> {
    #[inline]
    fn classify(&self, _: &P, request: &Request, _: Option<Priority>, _: &Classifier) -> Priority {
        self.0(request)
    }
}

impl<F> std::fmt::Debug for By<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("By")
    }
}
