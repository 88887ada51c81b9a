//! What is done to it by hand.

use super::*;

impl Naive {
    // ===== by hand =====

    pub(in super::super) fn force(&mut self, to: State) {
        self.forget_growth_if_steady();
        if to == State::Open {
            self.open(None);
        } else {
            self.change(to);
        }
    }

    pub(in super::super) fn close(&mut self) {
        if self.state != State::Closed {
            self.force(State::Closed);
        }
    }

    pub(in super::super) fn reset(&mut self) {
        self.books = Books::default();
        self.outage_since = None;
        self.times_opened = 0;
        self.recoveries.clear();
        self.failed_probations = 0;
        self.change(State::Closed);
    }

    pub(in super::super) fn record(&mut self, verdict: Verdict) {
        if self.state != State::Disabled {
            let counts = self.decide(self.life, verdict, false, None);
            self.book(verdict, false, counts);
        }
    }

    pub(in super::super) fn reconfigure(&mut self, config: Config) {
        if config.window != self.config.window || !config.watches_rates() {
            self.window.clear();
        }
        self.config = config;
    }
}
