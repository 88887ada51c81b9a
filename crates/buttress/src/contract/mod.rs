//! The contract of every layer: what a layer owes to the service inside, to who calls it, and to its own policy,
//! whatever it is there for.
//!
//! tower's contract is short and easily broken: the instance that was found ready is the one to be called, and being
//! ready may be a place that is held. A layer that calls a clone of it, asks a clone, or forgets one that was ready
//! works with every service that is always ready, which is nearly every service in a test. So here is one that is not:
//! it hands out places, counts what is alive, keeps every waker, panics where it is told to, and may not be moved
//! ([`inner`]). Each layer stands around it, and each rule is tried on each layer.
//!
//! | rule | in |
//! |---|---|
//! | the instance that is ready is called: first, after waiting, for later attempts | [`readiness`] |
//! | asking again whether it is ready reserves nothing more | [`readiness`] |
//! | a clone is not ready because the original is | [`readiness`] |
//! | an error of readiness comes out, and only one that there is: a refusal comes from the future | [`readiness`] |
//! | a task that waits is left asleep until something happens | [`waking`] |
//! | all who wait for a service that becomes ready are woken | [`waking`] |
//! | after a panic, in `poll_ready`, `call`, the future or the body, all is as it was | [`ending`] |
//! | after a call or a body that is dropped, too, and the call is counted as cancelled | [`ending`] |
//! | a call allocates what its row says | [`cost`] |
//! | layer and service are `Clone + Send + Sync + 'static`, futures `Send`, if the service inside is | bounds in [`case`] |
//! | futures and bodies inside may be `!Unpin` | [`inner`]'s are |
//!
//! A new layer is a row in [the table](layers), with what is particular about it: whether it is ready at once because
//! its calls wait by themselves, whether panics end in it, what a plain call allocates, and where to read what it holds.
//! That the rules notice who breaks them is tried in [`broken`].

mod broken;
mod case;
mod cost;
mod ending;
mod inner;
mod layers;
mod readiness;
mod waking;

use case::Case;

/// Runs a rule with a clock that stands still while somebody has something to do.
fn keep(rule: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(async {
        // Whoever waits for ever waits for this hour, which takes no time.
        let hour = std::time::Duration::from_secs(3600);
        tokio::time::timeout(hour, rule).await.expect("ends");
    });
}

/// A test for each rule, of the layer that `$case` makes.
macro_rules! rules {
    ($case:expr) => {
        rules! { $case;
            readiness: the_instance_that_is_ready_is_called, asking_again_reserves_nothing_more,
                a_clone_is_not_ready_because_the_original_is, an_error_of_readiness_comes_out,
                a_refusal_comes_from_the_future;
            waking: a_task_that_waits_is_left_asleep, a_task_that_reads_is_left_asleep, all_who_wait_are_woken;
            ending: a_panic_leaves_nothing_behind, a_call_that_is_dropped_leaves_nothing_behind,
                a_body_that_is_dropped_leaves_nothing_behind;
            cost: a_call_allocates_what_its_row_says;
        }
    };
    ($case:expr; $($file:ident: $($rule:ident),+;)+) => {
        $($(
            #[test]
            fn $rule() {
                keep(async {
                    let case = $case;
                    case.rest().await;
                    $file::$rule(case).await;
                });
            }
        )+)+
    };
}

use rules;
