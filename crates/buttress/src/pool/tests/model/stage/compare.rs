//! What the pool knows and tells, and what the naive one does.

use std::{collections::BTreeMap, rc::Rc};

use super::*;

impl Stage {
    pub(super) fn compare(&mut self, step: Step) {
        let events = std::mem::take(&mut self.naive.events);
        assert_eq!(self.log.take(), events, "after {step:?}");
        let (naive, state) = (&self.naive, self.pool.snapshot());
        let names = naive.members.iter().map(|e| &*naive.endpoints[*e].name);
        assert!(
            state.endpoints.iter().map(|e| &*e.name).eq(names),
            "after {step:?}"
        );
        assert_eq!(
            (state.calls, state.no_endpoint, state.out_of_budget),
            (naive.calls, naive.no_endpoint, 0),
            "after {step:?}"
        );
        // Those that took the place of another go on with its books.
        let of_all = |of: fn(&naive::Books) -> u64| {
            let books: BTreeMap<_, _> = naive
                .endpoints
                .iter()
                .map(|e| (Rc::as_ptr(&e.books), &e.books))
                .collect();
            books.values().map(|books| of(&books.borrow())).sum()
        };
        assert_eq!(
            (state.failovers, state.recoveries),
            (of_all(|books| books.failovers), of_all(|books| books.recoveries)),
            "after {step:?}"
        );
        let hub = &self.pool.shared.hub;
        assert_eq!(
            (hub.up(), hub.down.load(SeqCst)),
            naive.up_and_down(),
            "after {step:?}"
        );
        for (e, (node, _)) in self.nodes.iter().enumerate() {
            let now = clock::now();
            let weight = naive.endpoints[e].counts_as;
            let listed = naive.members.iter().position(|member| *member == e);
            let known = match listed {
                Some(i) => state.endpoints[i].clone(),
                None => EndpointSnapshot::of(node, weight, now),
            };
            self.compare_endpoint(&known, e, step);
        }
        assert_eq!(clock::now() - self.born, ms(naive.now));
    }

    fn compare_endpoint(&self, known: &EndpointSnapshot, e: usize, step: Step) {
        let (now, endpoint) = (self.naive.now, &self.naive.endpoints[e]);
        let books = naive::Books {
            success: known.success,
            failure: known.failure,
            throttled: known.throttled_calls,
            neutral: known.neutral,
            cancelled: known.cancelled,
            moved: known.moved,
            failovers: known.failovers,
            recoveries: known.recoveries,
        };
        assert_eq!(books, *endpoint.books.borrow(), "of {e} after {step:?}");
        assert_eq!(known.in_flight, endpoint.in_flight, "of {e} after {step:?}");
        assert_eq!(
            (known.phase, known.draining, known.healthy),
            (endpoint.phase, endpoint.draining, !endpoint.is_bad),
            "of {e} after {step:?}"
        );
        assert_eq!(
            (known.throttled, known.usable, known.weight),
            (
                endpoint.throttled_until > now,
                endpoint.is_usable(now),
                endpoint.weight
            ),
            "of {e} after {step:?}"
        );
        let weight = endpoint.effective_weight(self.naive.config.slow_start, now);
        assert!(
            (known.effective_weight - weight).abs() < 1e-9,
            "of {e} after {step:?}"
        );
        assert_eq!(
            (known.failed_for, known.failed_in_all),
            endpoint.failed_for(now),
            "of {e} after {step:?}"
        );
    }

    /// Nothing is left of anything.
    pub(in super::super) async fn end(mut self) {
        for (e, lease, leave) in std::mem::take(&mut self.leases) {
            self.naive.cancel_at(e, leave);
            drop(lease);
        }
        for call in std::mem::take(&mut self.calls) {
            drop(call.future);
            self.naive.cancel(call.naive);
        }
        self.settle();
        self.compare(Step::Rebalance);
        let members = self.naive.members.len();
        self.emptied.clear();
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        tokio::task::yield_now().await;
        assert_eq!(tasks(), members, "each endpoint is watched once");
        drop(self.pool);
        self.nodes
            .iter_mut()
            .for_each(|(node, _)| assert_eq!(node.in_flight(), 0));
        let places: Vec<_> = self.nodes.drain(..).map(|(_, place)| place).collect();
        tokio::task::yield_now().await;
        assert_eq!(tasks(), 0);
        assert!(
            places.iter().all(|place| place.clones() == 1),
            "nobody holds what stood behind"
        );
    }
}
