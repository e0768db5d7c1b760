//! Open loop: requests leave by a fixed schedule, whether or not earlier ones are answered, and a
//! latency counts from the scheduled instant, so that a stall is charged to every request that it
//! held up. Measures latency.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use rustix::event::epoll::{self, CreateFlags};

use super::{
    Request, Sample,
    connection::{Connection, timespec},
};
use crate::Result;

/// A schedule.
#[derive(Clone, Debug)]
pub struct Open {
    /// Requests a second.
    pub rate: f64,
    /// How long new ones leave; those under way then are waited for.
    pub time: Duration,
    /// At most so many at once; a request that finds none free waits, and its latency counts.
    pub connections: usize,
    /// What is sent.
    pub request: Request,
}

impl Open {
    /// Runs to its end.
    pub fn run(&self, address: SocketAddr) -> Result<Sample> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut connections = (0..self.connections)
            .map(|index| Connection::open(address, &epoll, index as u64))
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(|error| format!("cannot connect to {address}: {error}"))?;
        let mut free: VecDeque<usize> = (0..self.connections).collect();
        let mut sample = Sample::default();
        let mut buffer = vec![0; 64 * 1024];
        let mut events = Vec::with_capacity(256);
        let start = Instant::now();
        let total = (self.rate * self.time.as_secs_f64()).floor().max(1.0) as u64;
        let due = |number: u64| start + Duration::from_secs_f64(number as f64 / self.rate);
        let mut sent = 0;
        while sent < total || free.len() < self.connections {
            while sent < total && due(sent) <= Instant::now() {
                let Some(index) = free.pop_front() else { break };
                let step = connections[index].send(&self.request, &epoll, due(sent));
                sent += 1;
                connections[index]
                    .settle(step, &epoll, &mut sample)?
                    .then(|| free.push_back(index));
            }
            let wait = if sent < total && !free.is_empty() {
                due(sent).saturating_duration_since(Instant::now())
            } else {
                Duration::from_secs(1)
            };
            let wait = timespec(wait);
            events.clear();
            epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait))?;
            for event in &events {
                let index = event.data.u64() as usize;
                let step = connections[index].advance(&self.request, &epoll, &mut buffer);
                connections[index]
                    .settle(step, &epoll, &mut sample)?
                    .then(|| free.push_back(index));
            }
            if start.elapsed() > self.time * 10 + Duration::from_secs(30) {
                return Err("the server does not keep up with the schedule at all".into());
            }
        }
        sample.elapsed = start.elapsed();
        sample.sort();
        Ok(sample)
    }
}
