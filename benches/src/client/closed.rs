//! Closed loop: every connection sends its next request when the last one is answered, so that
//! the server is always as busy as the number of connections makes it. Measures capacity.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags},
    },
    fd::OwnedFd,
};

use super::{
    Request, Sample,
    connection::{Connection, Step, timespec},
};
use crate::Result;

/// A read asks for this much: large bodies are to cost the client little.
const BUFFER: usize = 256 * 1024;
/// Without any answer for so long a server counts as stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// When a closed loop ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this time, but not before as many are answered as there are connections; responses
    /// that are under way then do not count.
    Elapsed(Duration),
    /// When so many are answered.
    Answered(u64),
}

/// A closed loop.
#[derive(Clone, Debug)]
pub struct Closed {
    /// How many at once.
    pub connections: usize,
    /// Threads of the client.
    pub threads: usize,
    /// The pause between an answer and the next request of its connection.
    pub think: Option<Duration>,
    /// When it ends.
    pub until: Until,
    /// What is sent.
    pub request: Request,
}

impl Closed {
    /// Runs to its end.
    pub fn run(&self, address: SocketAddr) -> Result<Sample> {
        let threads = self.threads.clamp(1, self.connections);
        let share = |whole: usize, thread: usize| (whole + threads - 1 - thread) / threads;
        let samples = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|thread| {
                    let mut part = self.clone();
                    part.connections = share(self.connections, thread);
                    if let Until::Answered(whole) = self.until {
                        part.until = Until::Answered(share(whole as usize, thread) as u64);
                    }
                    scope.spawn(move || Loop::new(&part, address)?.run())
                })
                .collect();
            workers
                .into_iter()
                .map(|worker| {
                    worker.join().unwrap_or_else(|_| Err("a client thread panicked".into()))
                })
                .collect::<Result<Vec<Sample>>>()
        })?;
        let mut sample = samples.into_iter().fold(Sample::default(), Sample::merge);
        sample.sort();
        Ok(sample)
    }
}

struct Loop<'a> {
    plan: &'a Closed,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    /// Connections that think, and when they are done with it; in order.
    thinking: std::collections::VecDeque<(Instant, usize)>,
    sample: Sample,
    sent: u64,
    /// Requests that are neither answered nor failed.
    open: u64,
}

impl<'a> Loop<'a> {
    fn new(plan: &'a Closed, address: SocketAddr) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let connections = (0..plan.connections)
            .map(|index| Connection::open(address, &epoll, index as u64))
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(|error| format!("cannot connect to {address}: {error}"))?;
        let thinking = std::collections::VecDeque::new();
        Ok(Self { plan, epoll, connections, thinking, sample: Sample::default(), sent: 0, open: 0 })
    }

    fn run(mut self) -> Result<Sample> {
        let start = Instant::now();
        let mut buffer = vec![0; BUFFER];
        let mut events = Vec::with_capacity(self.plan.connections.min(1024));
        for index in 0..self.connections.len() {
            self.send(index)?;
        }
        let mut last_answer = start;
        while !self.is_over(start) {
            events.clear();
            let wait = self.wait(start);
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait))?;
            for event in &events {
                let index = event.data.u64() as usize;
                let step =
                    self.connections[index].advance(&self.plan.request, &self.epoll, &mut buffer);
                if self.take(index, step)? {
                    last_answer = Instant::now();
                }
            }
            self.wake()?;
            if last_answer.elapsed() > PATIENCE {
                return Err(format!("no answer for {} s", PATIENCE.as_secs()).into());
            }
        }
        self.sample.elapsed = start.elapsed();
        Ok(self.sample)
    }

    fn is_over(&self, start: Instant) -> bool {
        match self.plan.until {
            Until::Elapsed(time) => {
                start.elapsed() >= time && self.sample.requests() >= self.plan.connections as u64
            }
            Until::Answered(count) => self.sent >= count && self.open == 0,
        }
    }

    /// Until the next connection has thought, or the end, or a second.
    fn wait(&self, start: Instant) -> Timespec {
        let now = Instant::now();
        let mut wait = Duration::from_secs(1);
        if let Until::Elapsed(time) = self.plan.until {
            let left = (start + time).saturating_duration_since(now);
            // Behind the end it waits for an answer.
            wait = if left.is_zero() { wait } else { wait.min(left) };
        }
        if let Some((at, _)) = self.thinking.front() {
            wait = wait.min(at.saturating_duration_since(now));
        }
        timespec(wait)
    }

    fn send(&mut self, index: usize) -> Result<()> {
        if let Until::Answered(count) = self.plan.until
            && self.sent >= count
        {
            return Ok(());
        }
        self.sent += 1;
        self.open += 1;
        let request = &self.plan.request;
        let step = self.connections[index].send(request, &self.epoll, Instant::now());
        self.take(index, step)?;
        Ok(())
    }

    /// Whether a request is over, and if so what follows.
    fn take(&mut self, index: usize, step: Step) -> Result<bool> {
        if !self.connections[index].settle(step, &self.epoll, &mut self.sample)? {
            return Ok(false);
        }
        self.open -= 1;
        match self.plan.think {
            Some(think) => self.thinking.push_back((Instant::now() + think, index)),
            None => self.send(index)?,
        }
        Ok(true)
    }

    fn wake(&mut self) -> Result<()> {
        while self.thinking.front().is_some_and(|(at, _)| *at <= Instant::now()) {
            if let Some((_, index)) = self.thinking.pop_front() {
                self.send(index)?;
            }
        }
        Ok(())
    }
}
