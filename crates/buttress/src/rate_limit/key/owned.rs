use std::hash::{Hash, Hasher};

use papaya::Equivalent;

use super::{Form, Key};

/// Longer keys share the overflow limit: a key comes from outside, and the map holds many.
const LONGEST: usize = 256;

/// A key that is kept.
#[derive(Clone, Debug)]
pub(in super::super) struct OwnedKey(Form<Box<[u8]>>);

impl Key<'_> {
    pub(in super::super) fn to_owned(&self) -> OwnedKey {
        OwnedKey(match &self.0 {
            Form::Bytes(bytes) => Form::Bytes((**bytes).into()),
            Form::Network(network) => Form::Network(*network),
            Form::Number(number) => Form::Number(*number),
        })
    }

    /// Is it short enough to have a limit of its own?
    pub(in super::super) fn is_kept(&self) -> bool {
        !matches!(&self.0, Form::Bytes(bytes) if bytes.len() > LONGEST)
    }
}

impl OwnedKey {
    fn view(&self) -> Form<&[u8]> {
        match &self.0 {
            Form::Bytes(bytes) => Form::Bytes(bytes),
            Form::Network(network) => Form::Network(*network),
            Form::Number(number) => Form::Number(*number),
        }
    }
}

impl PartialEq for OwnedKey {
    fn eq(&self, other: &Self) -> bool {
        self.view() == other.view()
    }
}

impl Eq for OwnedKey {}

/// As the key that it was made of.
impl Hash for OwnedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.view().hash(state);
    }
}

impl Equivalent<OwnedKey> for Key<'_> {
    fn equivalent(&self, other: &OwnedKey) -> bool {
        self.view() == other.view()
    }
}
