//! Audited, durable starts over NATS, next to an echo on the same wire that does the same crypto and nothing else.
//!
//! Requests are signed before the clock starts, answers verified after it stops, on both sides; turns alternate.

use std::io::{Seek, Write};
use std::time::{Duration, Instant};

use crate::changes;
use crate::echo::Echo;
use crate::field::Field;
use crate::figure::{Board, Goal, median, quantile};
use crate::flood;
use crate::load::{Shot, Volley, fire};

/// Every figure over the wire.
pub(crate) async fn measure(board: &mut Board) {
    board.doing("a lattice with 64 hosts");
    let field = Field::new().await;
    let sample = fire(&field.client, &field.questions(1), 1).await.answers;
    field.prove(&sample);
    let keys: Vec<_> = field.askers.iter().map(|asker| *asker.key.name().raw()).collect();
    let echo = Echo::start(&field.lattice.nats.url(), &keys, sample[0].len(), &field.client).await;
    // Both sides have caches to fill and connections to open.
    turn(&field, &field.questions(500)).await;

    board.doing("starts with claims that were seen before, 64 in flight");
    let seen = turns(&field, &echo, |count| field.questions(count)).await;
    board.put("starts, claims seen before / echo, 64 in flight", seen.ratio, "ratio", Goal::AtLeast(0.7));
    board.put("  audited starts, claims seen before", seen.starts, "per s", Goal::Told);
    board.put("  echoes", seen.echoes, "per s", Goal::Told);
    board.put("  the broker's processor time for one", seen.broker_us, "us", Goal::Told);
    board.put("  the echo's", seen.echo_us, "us", Goal::Told);
    board.doing("starts with claims that nobody has seen, 64 in flight");
    let unseen = turns(&field, &echo, |count| field.unseen_questions(count)).await;
    board.put("starts, claims never seen / echo, 64 in flight", unseen.ratio, "ratio", Goal::AtLeast(0.45));

    board.doing("one start at a time");
    one_at_a_time(board, &field).await;
    board.doing("starts while links change");
    changes::measure(board, &field).await;
    board.doing("starts under a flood");
    flood::measure(board, &field).await;
    board.put("  resident memory of that broker", broker_memory(&field), "MiB", Goal::Told);
    drop(echo);
}

/// One turn of the broker, its answers proved.
pub(crate) async fn turn(field: &Field, shots: &[Shot]) -> Volley {
    let volley = fire(&field.client, shots, IN_FLIGHT).await;
    field.prove(&volley.answers);
    volley
}

struct Turns {
    ratio: f64,
    starts: f64,
    echoes: f64,
    broker_us: f64,
    echo_us: f64,
}

async fn turns(field: &Field, echo: &Echo, questions: impl Fn(usize) -> Vec<Shot>) -> Turns {
    let (mut starts, mut echoes, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let broker = field.lattice.broker_pid().expect("a broker");
    let (broker_before, echo_before) = (processor_us(broker), processor_us(echo.pid()));
    for _ in 0..TURNS {
        let shots = questions(SHOTS);
        let echoed = fire(&field.client, &Field::to_echo(&shots), IN_FLIGHT).await;
        let started = turn(field, &shots).await;
        let proved = echoed.answers.iter().zip(&shots).all(|(answer, shot)| Echo::is_answer(answer, &shot.payload));
        assert!(proved, "an echo is not of what was sent");
        starts.push(started.rate());
        echoes.push(echoed.rate());
        ratios.push(started.rate() / echoed.rate());
    }
    let each = |pid, before| (processor_us(pid) - before) / (TURNS * SHOTS) as f64;
    Turns {
        ratio: median(ratios),
        starts: median(starts),
        echoes: median(echoes),
        broker_us: each(broker, broker_before),
        echo_us: each(echo.pid(), echo_before),
    }
}

// How much processor time a process has used, to a hundredth of a second.
fn processor_us(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let after_name = stat.rsplit(')').next().expect("its numbers");
    let ticks = |at: usize| after_name.split_whitespace().nth(at).and_then(|text| text.parse::<f64>().ok());
    (ticks(11).expect("user") + ticks(12).expect("system")) * 1e4
}

async fn one_at_a_time(board: &mut Board, field: &Field) {
    let (mut ours, mut echo, mut fsyncs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let shots = field.questions(100);
        echo.extend(fire(&field.client, &Field::to_echo(&shots), 1).await.waits);
        let started = fire(&field.client, &shots, 1).await;
        field.prove(&started.answers);
        ours.extend(started.waits);
        fsyncs.extend(fsync_times(field));
    }
    let at = |waits: &[Duration], part| quantile(waits.to_vec(), part).as_secs_f64();
    let fsync = at(&fsyncs, 0.5);
    let p50 = (at(&ours, 0.5) - fsync) / at(&echo, 0.5);
    board.put("one at a time, (p50 - one fsync) / echo p50", p50, "ratio", Goal::AtMost(1.5));
    board.put("one at a time, p50 / echo p50", at(&ours, 0.5) / at(&echo, 0.5), "ratio", Goal::Told);
    board.put("one at a time, p99 / echo p99", at(&ours, 0.99) / at(&echo, 0.99), "ratio", Goal::Told);
    board.put("  one at a time, p50", at(&ours, 0.5) * 1e3, "ms", Goal::Told);
    board.put("  one fsync of 8 KiB beside the log", fsync * 1e3, "ms", Goal::Told);
}

// What the disk asks for any durable answer: eight KiB behind the end of a file, made durable.
fn fsync_times(field: &Field) -> Vec<Duration> {
    let mut file = std::fs::File::create(field.lattice.path("lattice/fsync-probe")).expect("a file");
    file.write_all(&vec![0; 1 << 20]).and_then(|()| file.sync_all()).expect("written");
    file.rewind().expect("back");
    let mut once = || {
        let start = Instant::now();
        file.write_all(&[1; 8192]).and_then(|()| file.sync_data()).expect("durable");
        start.elapsed()
    };
    (0..20).map(|_| once()).collect()
}

fn broker_memory(field: &Field) -> f64 {
    field.lattice.broker_pid().map_or(0.0, resident_mib)
}

/// How much memory a process holds.
pub(crate) fn resident_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024.0
}

/// How many are in flight where nothing else is said.
pub(crate) const IN_FLIGHT: usize = 64;
/// How often sides alternate.
pub(crate) const TURNS: usize = 7;
/// How many starts one turn has.
pub(crate) const SHOTS: usize = 2000;
