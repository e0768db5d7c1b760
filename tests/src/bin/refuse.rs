//! `refuse ERRNO CALL… -- PROGRAM ARGUMENT…`: runs a program for which the system calls with these
//! numbers fail with that errno, as a container's seccomp profile does it (seccomp(2)).

use std::{
    collections::BTreeMap, env::consts::ARCH, error::Error, os::unix::process::CommandExt as _,
    process::Command,
};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1);
    let mut numbers = Vec::new();
    for word in words.by_ref().take_while(|word| word != "--") {
        numbers.push(word.to_str().ok_or("a number")?.parse::<u32>()?);
    }
    let (errno, calls) = numbers.split_first().ok_or("an errno")?;
    let rules: BTreeMap<i64, Vec<_>> =
        calls.iter().map(|call| (i64::from(*call), Vec::new())).collect();
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(*errno),
        ARCH.try_into()?,
    )?;
    seccompiler::apply_filter(&BpfProgram::try_from(filter)?)?;
    let program = words.next().ok_or("a program")?;
    Err(Command::new(program).args(words).exec().into())
}
