use std::{mem, sync::Arc};

use super::{account::Account, routes::Routes};
use crate::{clock::Instant, outcome::Ending};

/// A call by a route that there may not be: its caller has named it, and no call by it has gone well before.
///
/// Meanwhile it is in flight among the others. Once there is a message, or a good end, somebody serves that route; any
/// other answer may be one that everything gets which is asked for by a name that somebody made up.
pub(super) struct Trial {
    routes: Arc<Routes>,
    route: Box<str>,
    pub(super) began: Instant,
    to_headers: Option<u64>,
}

impl Trial {
    #[cold]
    pub(super) fn begin(routes: &Arc<Routes>, route: &str, began: Instant) -> Box<Self> {
        routes.other().started();
        Box::new(Self {
            routes: routes.clone(),
            route: route.into(),
            began,
            to_headers: None,
        })
    }

    pub(super) fn headers_came(&mut self, nanos: u64) {
        self.to_headers = Some(nanos);
    }

    /// There is such a route: the call goes on in its books, if there is room for them.
    #[cold]
    pub(super) fn passed(&mut self) -> Arc<Account> {
        let account = self.routes.open(&self.route);
        let other = self.routes.other();
        if !Arc::ptr_eq(&account, other) {
            account.books.started();
            other.books.left();
        }
        self.tell_headers(&account);
        account
    }

    /// It has come to an end that says nothing of the route.
    #[cold]
    pub(super) fn ended(&mut self, ending: Ending, nanos: u64, answered: bool) {
        let account = self.routes.other().clone();
        if self.tell_headers(&account) || !answered {
            account.ended(ending, nanos);
        } else {
            account.ended_at_once(ending, nanos);
        }
    }

    fn tell_headers(&mut self, account: &Account) -> bool {
        let to_headers = mem::take(&mut self.to_headers);
        if let Some(nanos) = to_headers {
            account.headers_came(nanos);
        }
        to_headers.is_some()
    }
}
