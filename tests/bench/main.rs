//! `make bench`: what countersign costs, as ratios taken in one run on one machine, next to the honest limit.
//!
//! Each section measures one thing and says beside it what the same wire, the same crypto or the same disk costs alone.
//! Words on the command line choose sections by their names; without any, all of them run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    missing_docs
)]

mod audit;
mod changes;
mod cold;
mod disk;
mod echo;
mod field;
mod figure;
mod flood;
mod governing;
mod law;
mod load;
mod size;
mod starts;
mod world;

use figure::Board;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.split_first() {
        Some((role, rest)) if role == echo::ROLE => echo::main(rest),
        Some((role, rest)) if role == flood::ROLE => flood::main(rest),
        Some((role, _)) if role == disk::STATE => disk::state(),
        _ => measure(&arguments),
    }
}

fn measure(chosen: &[String]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut board = Board::new();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|word| name.contains(word));
    if wanted("claims") {
        board.doing("claims");
        law::verification(&mut board);
    }
    if wanted("decide") {
        law::decisions(&mut board);
    }
    if wanted("append") {
        board.doing("append");
        runtime.block_on(disk::append(&mut board));
    }
    if wanted("audit") {
        runtime.block_on(audit::measure(&mut board));
    }
    if wanted("memory") {
        board.doing("memory");
        disk::memory(&mut board);
    }
    if wanted("starts") {
        runtime.block_on(starts::measure(&mut board));
    }
    if wanted("cold") {
        runtime.block_on(cold::measure(&mut board));
    }
    if wanted("governing") {
        runtime.block_on(governing::measure(&mut board));
    }
    if wanted("size") {
        runtime.block_on(size::measure(&mut board));
    }
    board.finish();
}
