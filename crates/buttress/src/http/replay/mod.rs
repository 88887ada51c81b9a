//! HTTP requests that can be sent again: [`ReplayBody`] streams a body once and remembers it, [`SavedRequest`] is
//! what is kept, and a [`BodyMode`] says in which type the service below gets it.
//!
//! ```
//! use bytes::Bytes;
//! use buttress::{Http, replay::{Bare, Replay}};
//! use http::Request;
//! use http_body_util::{BodyExt, Full};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let http = Http::new();
//! let request = Request::put("/items/4").body(Full::new(Bytes::from("four"))).unwrap();
//! let (first, saved) = http.save(&Bare, request, 64 << 10);
//! drop(first); // sent, and answered by 503
//!
//! let saved = saved.expect("PUT is idempotent, and four bytes are not many");
//! assert_eq!(saved.head().uri, "/items/4");
//! assert!(saved.body().can_repeat());
//! let again = saved.body().again::<Full<Bytes>>().expect("all of it is there");
//! assert_eq!(again.collect().await.unwrap().to_bytes(), "four");
//!
//! let post = Request::post("/items").body(Full::new(Bytes::from("four"))).unwrap();
//! let (_, saved) = http.save(&Bare, post, 64 << 10);
//! assert!(saved.is_none()); // it might buy the thing twice
//! # }
//! ```

mod body;
mod first;
mod head;
mod memory;
mod mode;
mod protocol;
mod saved;

pub use body::ReplayBody;
pub use mode::{BodyMode, HostBody};
pub use saved::{SavedBody, SavedRequest};

#[cfg(test)]
mod tests;
