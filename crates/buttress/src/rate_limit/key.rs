#[cfg(feature = "keyed")]
mod owned;

use std::{
    borrow::Cow,
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

#[cfg(feature = "keyed")]
pub(super) use owned::OwnedKey;

/// Whose limit it is: a text, an address, a number. It is borrowed from the request where it can be, and copied only
/// when it is seen for the first time.
///
/// ```
/// use buttress::rate_limit::Key;
///
/// let tenant = Key::from("acme");
/// let account = Key::from(4711_u64);
/// // An address stands for its network: in IPv6 for the /64 that one customer has to himself.
/// let one: std::net::IpAddr = "2001:db8::1".parse()?;
/// let other: std::net::IpAddr = "2001:db8::2:3:4:5".parse()?;
/// assert_eq!(Key::from(one), Key::from(other));
/// # let _ = (tenant, account);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Key<'a>(Form<Cow<'a, [u8]>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form<B> {
    Bytes(B),
    Network([u8; 16]),
    Number(u64),
}

impl<'a> Key<'a> {
    /// A key of any bytes.
    pub fn from_bytes(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self(Form::Bytes(bytes.into()))
    }

    fn view(&self) -> Form<&[u8]> {
        match &self.0 {
            Form::Bytes(bytes) => Form::Bytes(bytes),
            Form::Network(network) => Form::Network(*network),
            Form::Number(number) => Form::Number(*number),
        }
    }
}

impl<'a> From<&'a str> for Key<'a> {
    fn from(text: &'a str) -> Self {
        Self::from_bytes(text.as_bytes())
    }
}

impl From<String> for Key<'_> {
    fn from(text: String) -> Self {
        Self::from_bytes(text.into_bytes())
    }
}

impl From<u64> for Key<'_> {
    fn from(number: u64) -> Self {
        Self(Form::Number(number))
    }
}

/// The network that the address stands for: an IPv4 address alone, however it is written, and the /64 of an IPv6
/// address, for that is what one customer has, and he has 2⁶⁴ addresses in it.
impl From<IpAddr> for Key<'_> {
    fn from(address: IpAddr) -> Self {
        let network = match address {
            IpAddr::V4(v4) => mapped(v4),
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => mapped(v4),
                None => {
                    let mut octets = v6.octets();
                    octets[8..].fill(0);
                    octets
                }
            },
        };
        Self(Form::Network(network))
    }
}

fn mapped(v4: Ipv4Addr) -> [u8; 16] {
    Ipv6Addr::octets(&v4.to_ipv6_mapped())
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.view() == other.view()
    }
}

impl Eq for Key<'_> {}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.view().hash(state);
    }
}
