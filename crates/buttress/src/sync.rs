//! Atomics, from `std`, or from loom where a model checker explores every interleaving of them.

#[cfg(loom)]
pub(crate) use loom::sync::atomic;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic;
