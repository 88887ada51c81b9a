/// The endpoints that a call has been to.
///
/// There is room for as many as a call can usually fail over to; what is more goes to the heap.
#[derive(Clone, Debug, Default)]
pub(super) struct Tried {
    first: [u32; Self::INLINE],
    len: u8,
    more: Vec<u32>,
}

impl Tried {
    const INLINE: usize = 8;

    pub(super) fn push(&mut self, id: u32) {
        match self.first.get_mut(usize::from(self.len)) {
            Some(free) => {
                *free = id;
                self.len += 1;
            }
            None => self.more.push(id),
        }
    }

    #[inline]
    pub(super) fn has(&self, id: u32) -> bool {
        self.first[..usize::from(self.len)].contains(&id) || self.more.contains(&id)
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.len) + self.more.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_endpoint_is_forgotten() {
        let mut tried = Tried::default();
        assert!(!tried.has(0));
        for id in 0..100 {
            tried.push(id);
            assert!((0..=id).all(|id| tried.has(id)) && !tried.has(id + 1));
        }
        assert_eq!(tried.len(), 100);
    }
}
