//! What a call costs when nothing is wrong.

use super::case::Case;

/// As many allocations as its row in the table says, mostly none.
pub(super) async fn a_call_allocates_what_its_row_says(case: Case) {
    let mut service = case.service();
    // The first calls warm up what is a thread's own.
    for _ in 0..3 {
        let _ = service.allocations();
    }
    if let Some(used) = service.allocations() {
        assert_eq!(used, case.known.allocations, "allocations of a call");
    }
}
