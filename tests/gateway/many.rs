//! Two hundred functions.

use std::{io::Write as _, thread, time::Instant};

use e2e::{
    gateway::{Function, Provider},
    procfs,
};

use crate::launch;

on_every_provider! {
    two_hundred_functions_are_deployed_listed_and_called
}

// A container each would be a test of the engine.
on_processes! {
    two_hundred_functions_run_at_once
}

/// Of all ports of the tests it takes none: its functions listen on sockets of their own.
fn two_hundred_functions_run_at_once(provider: Provider) {
    const ALL: usize = 200;
    const AT_ONCE: usize = 8;
    let gateway = launch(provider).start();
    let name = |index: usize| format!("f-{index:03}");
    let each = |act: &(dyn Fn(usize) + Sync)| {
        thread::scope(|scope| {
            for first in 0..AT_ONCE {
                scope.spawn(move || (first..ALL).step_by(AT_ONCE).for_each(act));
            }
        });
    };
    let begun = Instant::now();
    each(&|index| {
        let number = index.to_string();
        let function = Function::new(&name(index), "").env("mode", "static").env("NUMBER", &number);
        gateway.deploy(&function.env("static_path", "."));
    });
    e2e::eventually(6 * e2e::DEADLINE, "all of them to be ready", || {
        let list = gateway.json("/system/functions");
        let list = list.as_array().unwrap();
        list.len() == ALL && list.iter().all(|one| one["availableReplicas"] == 1)
    });
    let ready = begun.elapsed();
    assert_eq!(gateway.running_replicas(), ALL);
    let begun = Instant::now();
    each(&|index| {
        let response = gateway.get(&format!("/function/{}/run.sh", name(index)));
        assert_eq!((response.status(), response.text().contains("SCRIPT")), (200, true));
    });
    let called = begun.elapsed();
    let kilobytes = |pid: u32| procfs::status_kb(pid, "VmRSS").unwrap_or_default();
    let own = kilobytes(gateway.pid());
    let all: u64 = gateway.started_processes().iter().map(|one| kilobytes(one.pid)).sum();
    // Past the capture of output: figures to look at.
    let _ = writeln!(
        std::io::stderr(),
        "{ALL} functions run: ready after {ready:?}, called in {called:?}; gateway {own} kB, \
         each of them {} kB",
        all / ALL as u64
    );
    assert!(own < 64 * 1024, "{own} kB");
    assert!(called < 3 * e2e::DEADLINE, "{called:?}");
}

fn two_hundred_functions_are_deployed_listed_and_called(provider: Provider) {
    // So many processes at once are as much as a small machine starts: most of them sleep.
    const ALL: usize = 200;
    const AT_ONCE: usize = 4;
    let gateway = launch(provider).start();
    let name = |index: usize| format!("f-{index:03}");
    let begun = Instant::now();
    thread::scope(|scope| {
        for first in 0..AT_ONCE {
            let gateway = &gateway;
            scope.spawn(move || {
                for index in (first..ALL).step_by(AT_ONCE) {
                    let number = index.to_string();
                    let function = Function::cat(&name(index)).env("NUMBER", &number);
                    gateway.deploy(&function.label("com.openfaas.scale.min", "0"));
                }
            });
        }
    });
    let deployed = begun.elapsed();
    let list = gateway.json("/system/functions");
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), ALL);
    for (index, function) in list.iter().enumerate() {
        assert_eq!(
            (&function["name"], &function["envVars"]["NUMBER"]),
            (&name(index).into(), &index.to_string().into())
        );
    }
    let begun = Instant::now();
    for index in (0..ALL).step_by(10) {
        let text = format!("call {index}");
        let response = gateway.post(&format!("/function/{}", name(index)), &text);
        assert_eq!((response.status(), response.text()), (200, text), "{}", gateway.log());
    }
    let called = begun.elapsed();
    let memory = procfs::status_kb(gateway.pid(), "VmRSS").unwrap();
    let begun = Instant::now();
    let gateway = gateway.killed_and_restarted();
    let restarted = begun.elapsed();
    assert_eq!(gateway.json("/system/functions").as_array().unwrap().len(), ALL);
    assert_eq!(gateway.post("/function/f-100", "x").text(), "x");
    let again = procfs::status_kb(gateway.pid(), "VmRSS").unwrap();
    // Past the capture of output: a figure to look at.
    let _ = writeln!(
        std::io::stderr(),
        "{ALL} functions ({provider:?}): deployed in {deployed:?}, 20 woken and called in {called:?}, \
         found again in {restarted:?}; gateway {memory} kB, restarted {again} kB"
    );
    assert!(memory < 64 * 1024, "{memory} kB");
}
