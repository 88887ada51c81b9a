/// A budget of so many a second and no more, the obvious way.
#[derive(Debug)]
pub(crate) struct NaivePurse {
    /// `None`: there is no budget.
    a_second: Option<u32>,
    /// When the second began, in milliseconds, and how many were paid for in it.
    began: u64,
    paid: u32,
}

impl NaivePurse {
    pub(crate) const fn new(a_second: Option<u32>) -> Self {
        Self {
            a_second,
            began: 0,
            paid: 0,
        }
    }

    /// So many in each second, which begins with its first.
    pub(crate) fn pay(&mut self, now: u64) -> bool {
        let Some(a_second) = self.a_second else {
            return true;
        };
        if self.paid == 0 || now >= self.began + 1000 {
            (self.began, self.paid) = (now, 0);
        }
        if self.paid == a_second {
            return false;
        }
        self.paid += 1;
        if self.paid == a_second {
            // The next are a second away from the last.
            self.began = now;
        }
        true
    }
}
