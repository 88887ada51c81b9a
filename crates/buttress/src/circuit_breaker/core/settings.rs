use std::sync::Arc;

use crate::circuit_breaker::{
    builder::{CircuitBreakerBuilder, WindowShape},
    policy::to_ticks,
    window::{CountWindow, TimeWindow, Window},
};

/// The options in force, and the window that they ask for.
pub(in super::super) struct Settings {
    pub(in super::super) options: CircuitBreakerBuilder,
    pub(in super::super) window: Option<Arc<Window>>,
}

impl Settings {
    pub(super) fn new(options: CircuitBreakerBuilder, before: Option<&Self>) -> Self {
        let kept = before
            .filter(|b| b.options.window == options.window)
            .and_then(|b| b.window.clone());
        let window = options.uses_window().then(|| {
            kept.unwrap_or_else(|| {
                Arc::new(match options.window {
                    WindowShape::Calls(calls) => Window::Count(CountWindow::new(calls)),
                    WindowShape::Time(time) => Window::Time(TimeWindow::new(to_ticks(time))),
                })
            })
        });
        Self { options, window }
    }
}
