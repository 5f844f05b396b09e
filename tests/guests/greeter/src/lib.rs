//! A component that imports nothing and greets.

wit_bindgen::generate!({ path: "../wit", world: "greeter" });

use exports::demo::hello::greeter::Guest;

struct Greeter;

impl Guest for Greeter {
    fn greet(name: String) -> String {
        ["Hello, ", &name, "!"].concat()
    }
}

export!(Greeter);
