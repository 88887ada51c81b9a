//! A panic in one call becomes the error of that call.
//!
//! A service that panics takes down whatever polls it: the task, and with it a connection and every other call
//! on that connection, or a worker that serves them all. And because there is no result, those who count calls
//! see nothing. Behind a [`Recover`] a panic is a result like others: the call ends with
//! [`Panicked`](crate::RejectionKind::Panicked), a failure of the service that breakers and metrics count, a
//! 500 (for gRPC `INTERNAL`) at the edge of a server.
//!
//! ```
//! use buttress::{Error, ErrorLayer, RejectionKind, recover::Recover};
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let recover = Recover::new().named("division");
//! let service = ServiceBuilder::new()
//!     .layer(recover.layer())
//!     .layer(ErrorLayer::new())
//!     .service(service_fn(|by: u32| async move { Ok::<u32, BoxError>(100 / by) }));
//!
//! assert_eq!(service.clone().oneshot(5).await.unwrap(), 20);
//! match service.clone().oneshot(0).await {
//!     Err(Error::Rejected(rejected)) => assert_eq!(rejected.kind(), RejectionKind::Panicked),
//!     other => unreachable!("{other:?}"),
//! }
//! assert_eq!(recover.panics(), 1);
//! # }
//! ```
//!
//! # What is caught
//!
//! | [`Place`] | what the caller sees | and then |
//! |---|---|---|
//! | `Ready`: `poll_ready` | `Err` from `poll_ready` | the instance is [poisoned](RecoverService) |
//! | `Call`: `call` | the future's `Err` | the instance is poisoned |
//! | `Future`: the future's poll | the future's `Err` | the future is dropped |
//! | `Body`: the response's body | one `Err`, then the end (`RecoverBody`, feature `http`) | the body is dropped |
//!
//! Whatever panicked is dropped on the spot and never asked again; should that drop panic too, this is caught
//! and logged. Bodies are guarded by layers made with [`Recover::layer_for`] an `Http` or a `Grpc` protocol.
//!
//! # Who is told
//!
//! What the panic said goes to the log (`tracing`, target `buttress::recover`, level error) and into the
//! [`Panic`] event of the [`Registry`](crate::Registry), at most 1 KiB of it. It never goes into the error: what
//! a client is shown says that there was a panic, not which. Where it happened is known only to the process's
//! panic hook, which is left alone unless you ask for it by [`install_hook`].
//!
//! # Caveats
//!
//! * With `panic = "abort"` in the profile the process ends before anyone could catch anything.
//! * So it does if a destructor panics *while* a panic unwinds through it. Rust aborts there, and no library can
//!   help it.
//! * Catching a panic does not mend what it broke. A service that shares state with others must keep that state
//!   sound when it is cut off anywhere, as it must for cancelled calls; a std `Mutex` held at that moment is
//!   poisoned for all.
//! * An instance that panicked in `call` is lost, not only its call. Hosts that clone the service for each call
//!   (axum, hyper-util) do not notice; code that keeps a single instance keeps a spare clone beside it.
//! * Not caught: the service's `Clone`, and the drop of a service, future or body that did not panic before.
//! * A panic is dear: it allocates and unwinds. A call that does not panic costs no allocation and no atomic
//!   operation beyond a load.

mod body;
mod call;
mod catcher;
mod catching;
mod future;
mod hook;
mod layer;
mod panic;
mod policy;
mod service;
#[cfg(all(test, not(loom)))]
mod tests;

pub use body::RecoverBody;
pub use call::RecoverCall;
pub use catcher::Catcher;
pub use future::RecoverFuture;
pub use hook::install_hook;
pub use layer::RecoverLayer;
pub use panic::{Panic, Place};
pub(crate) use policy::FAMILIES;
pub use policy::Recover;
pub use service::RecoverService;
