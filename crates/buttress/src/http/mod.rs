//! All that knows HTTP and gRPC on the wire.

mod protocol;

pub use protocol::{Grpc, Http};
