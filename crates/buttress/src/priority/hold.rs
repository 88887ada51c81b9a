/// How long a call keeps its slot.
///
/// A slot is meant for a call that does work and ends. A stream that goes on for as long as anybody listens would keep it
/// for ever, and a few hundred listeners be an outage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hold {
    /// To the end of the body; but to the headers where what follows has [no end](crate::Protocol::is_open_ended): event
    /// streams, upgrades and tunnels, and gRPC, where nothing on the wire says whether a method streams.
    #[default]
    Auto,
    /// To the headers, whatever follows.
    Headers,
    /// To the end of the body, whatever it is.
    End,
}
