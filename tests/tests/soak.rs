//! Everything goes wrong at once, and afterwards nothing is missing. It is longer with
//! `cargo run --release -p buttress-tests --bin soak`.
#![allow(clippy::print_stdout)] // figures, for whoever looks

use buttress_tests::soak::Soak;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_twenty_thousand_calls_nothing_is_missing() {
    let soak = Soak {
        calls: 20_000,
        callers: 64,
        seed: fastrand::u64(..),
    };
    println!("seed {}", soak.seed);
    println!("{}", soak.run().await);
}
