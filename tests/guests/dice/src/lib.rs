//! A component that shows what a host gives: randomness, clocks, environment and arguments.

wit_bindgen::generate!({ path: "../wit", world: "dice", generate_all });

use exports::demo::games::dice::Guest;
use wasi::cli::environment;
use wasi::clocks::{monotonic_clock, wall_clock};
use wasi::random::random::get_random_u64;

struct Dice;

impl Guest for Dice {
    fn roll(sides: u32) -> u32 {
        // At most `sides - 1` before the addition, so it fits in 32 bits.
        get_random_u64().checked_rem(u64::from(sides)).map_or(0, |face| face as u32 + 1)
    }

    fn when() -> u64 {
        let before = monotonic_clock::now();
        let seconds = wall_clock::now().seconds;
        // A monotonic clock that runs backwards is a broken host: trap.
        assert!(monotonic_clock::now() >= before);
        seconds
    }

    fn environment() -> Vec<(String, String)> {
        environment::get_environment()
    }

    fn arguments() -> Vec<String> {
        environment::get_arguments()
    }
}

export!(Dice);
