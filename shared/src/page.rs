//! How much one answer, or one message, holds of a longer sequence: the first items, as
//! many as two limits allow, and one at least, so that whoever asks for the next page
//! makes progress.

/// The limits of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimits {
    /// Items.
    pub items: usize,
    /// Bytes of all of them. The first is taken however large it is.
    pub bytes: usize,
}

impl PageLimits {
    /// A page with nothing in it.
    #[must_use]
    pub fn begin(self) -> PageRoom {
        PageRoom { limits: self, items: 0, bytes: 0 }
    }

    /// As many of the first items as a page holds, of the sizes that `bytes_of` gives.
    pub fn first_of<T>(
        self,
        items: impl IntoIterator<Item = T>,
        bytes_of: impl Fn(&T) -> usize,
    ) -> Vec<T> {
        let mut room = self.begin();
        items.into_iter().take_while(|item| room.takes(bytes_of(item))).collect()
    }
}

/// What a page that is being filled has room for.
#[derive(Clone, Debug)]
pub struct PageRoom {
    limits: PageLimits,
    items: usize,
    bytes: usize,
}

impl PageRoom {
    /// Whether the next item, of so many bytes, is part of the page. The page ends before
    /// the first one that is not.
    pub fn takes(&mut self, bytes: usize) -> bool {
        let with_it = self.bytes.saturating_add(bytes);
        let fits = self.items < self.limits.items && with_it <= self.limits.bytes;
        let is_taken = fits || self.items == 0;
        if is_taken {
            self.items += 1;
            self.bytes = with_it;
        }
        is_taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(items: usize, bytes: usize, sizes: &[usize]) -> Vec<usize> {
        PageLimits { items, bytes }.first_of(sizes.iter().copied(), |size| *size)
    }

    #[test]
    fn a_page_holds_as_many_items_and_bytes_as_it_may() {
        assert_eq!(page(2, 100, &[1, 2, 3]), [1, 2]);
        assert_eq!(page(9, 5, &[2, 3, 1]), [2, 3]);
        assert_eq!(page(9, 5, &[2, 4, 1]), [2], "and ends before the first that does not fit");
    }

    #[test]
    fn the_first_item_is_taken_however_large_it_is() {
        assert_eq!(page(9, 5, &[usize::MAX, 0]), [usize::MAX]);
        assert_eq!(page(0, 0, &[7, 0]), [7]);
    }
}
