//! `gateway-lite up`: a stack file, running.
//!
//! Read the file ▶ find the gateway, or be it ▶ build ▶ deploy ▶ wait ▶ follow the logs.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::BodyExt as _;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    Failure, auth,
    cli::Up,
    env::{self, Environment},
    error::{Error, Result},
    function::{FunctionSpec, NOT_YET},
    provider::docker,
    settings::{ProviderKind, Settings},
};

mod client;
mod dockerfile;
mod nearest;
mod plan;
mod stack;
mod substitute;

use self::{
    client::Client,
    plan::{Place, Planned},
    stack::Stack,
};

/// How long replicas may take to be ready before that is said.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same once something is wrong: it may pass.
const WRONG: Duration = Duration::from_secs(10);

/// Where a gateway is that nobody names.
const USUAL: &str = "http://127.0.0.1:8080";

/// The whole sub-command.
pub(crate) fn main(up: &Up, environment: Environment) -> Result<(), Failure> {
    let environment = match environment.get("provider") {
        // Nothing but the caller's own files, on loopback.
        None => environment.with("provider", Some("process".to_owned())),
        Some(_) => environment,
    };
    let environment = up.serve.over(environment);
    let mut settings =
        env::parse(&environment).map_err(|mistakes| Failure::misconfigured(&mistakes))?;
    let plan = Plan::read(up, &environment, settings.provider);
    let plan = plan.map_err(|error| Failure::misconfigured(&error))?;

    let address = plan.gateway.clone().unwrap_or_else(|| USUAL.to_owned());
    let mut client = Client::new(&address).map_err(|error| Failure::misconfigured(&error))?;
    let runtime = watchdog::runtimes::current().map_err(|error| Failure::failed(&error))?;
    if runtime.block_on(client.is_there()) {
        log_in(&mut client, up, &settings)?;
        let work = deploy(&plan, &settings, client, up.detach);
        return runtime.block_on(work).map_err(|error| Failure::failed(&error));
    }
    drop(runtime);
    if up.gateway.is_some() {
        let Some(here) = client::loopback(&address) else {
            let text = format!("no gateway answers at {address}, which is not this machine's");
            return Err(Failure::failed(&text));
        };
        (settings.address, settings.port) = (here.ip(), here.port());
    }
    if up.detach {
        let text =
            "--detach needs a gateway that goes on running: start `gateway-lite serve` first";
        return Err(Failure::misconfigured(&text));
    }
    settings.control_log = false;
    let (plan, settings) = (&plan, &settings);
    crate::run(settings, &environment, |address| async move {
        let client = Client::new(&format!("http://{address}"));
        let mut client = client.map_err(|error| Failure::failed(&error))?;
        log_in(&mut client, up, settings)?;
        deploy(plan, settings, client, false).await.map_err(|error| Failure::failed(&error))
    })
}

/// With what was given, or what this machine's own gateway made for itself.
fn log_in(client: &mut Client, up: &Up, settings: &Settings) -> Result<(), Failure> {
    let (user, path) = match &up.password_file {
        Some(path) => (up.user.clone(), path.clone()),
        None => {
            let dir = settings.credentials.as_ref().unwrap_or(&settings.data);
            let [user, password] = auth::FILES.map(|name| dir.join(name));
            match fs::read_to_string(&user) {
                Ok(user) => (user, password),
                // There may be no need for any.
                Err(_) => return Ok(()),
            }
        }
    };
    let password = fs::read_to_string(&path);
    let password = password
        .map_err(|error| Failure::misconfigured(&format!("{}: {error}", path.display())))?;
    client.log_in(user.trim(), password.trim());
    Ok(())
}

/// A stack that was read, with all that is deployed.
#[derive(Debug)]
struct Plan {
    functions: Vec<Planned>,
    folder: PathBuf,
    /// For builds.
    helpers: docker::Helpers,
    /// Where the file or the command line says that the gateway is.
    gateway: Option<String>,
}

impl Plan {
    /// Reads the file and all that it names.
    fn read(up: &Up, environment: &Environment, provider: ProviderKind) -> Result<Self> {
        let path = &up.file;
        let text = fs::read_to_string(path)
            .map_err(|error| Error::Invalid(format!("{}: {error}", path.display())))?;
        let helpers = docker::Helpers::new(environment.pairs());
        let environment = environment.all();
        let stack: Stack = stack::parse(path, &text, &environment)?;
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let place = Place { folder: &folder, environment: &environment, provider };
        let functions = plan::plan(&stack, up.filter.as_deref(), place)?;
        let gateway = up.gateway.clone().or(stack.provider.gateway);
        Ok(Self { functions, folder, helpers, gateway })
    }
}

/// Deploys everything, and follows the logs unless it is to end.
async fn deploy(plan: &Plan, settings: &Settings, client: Client, detach: bool) -> Result<()> {
    for planned in &plan.functions {
        let spec = &planned.spec;
        if let Some(build) = &planned.build {
            say(&format!("{}: building {}", spec.service, spec.image));
            let config = settings.docker_config.as_ref().map(|dir| dir.join("config.json"));
            docker::build::build_image(
                &settings.docker_host,
                config.as_deref().map(|path| (path, &plan.helpers)),
                &build.context,
                build.handler.as_deref(),
                &spec.image,
                &build.arguments,
                |line| say(&format!("{}: {line}", spec.service)),
            )
            .await?;
        }
        keep_secrets(&client, spec, &plan.folder).await?;
        say(&format!("{}: deploying", spec.service));
        client.deploy(spec).await?;
    }
    let (table, missing) = wait(&client, &plan.functions).await?;
    say(&table);
    if detach && !missing.is_empty() {
        return Err(Error::Failed(format!("not ready: {}", missing.join(", "))));
    }
    if detach {
        return Ok(());
    }
    follow(client, &plan.functions).await
}

/// Secrets are files of `.secrets` beside the stack file, where faas-cli has them.
async fn keep_secrets(client: &Client, spec: &FunctionSpec, folder: &Path) -> Result<()> {
    for name in spec.secrets.iter().flatten() {
        let path = folder.join(".secrets").join(name);
        match fs::read(&path) {
            Ok(value) => client.keep(spec.namespace(), name, &value).await?,
            // It may be there already; the gateway says so if not.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::Invalid(format!("{}: {error}", path.display()))),
        }
    }
    Ok(())
}

/// Waits until all are ready: what each is called, how it is, where; and which are not ready.
async fn wait(client: &Client, functions: &[Planned]) -> Result<(String, Vec<String>)> {
    let width =
        functions.iter().map(|planned| planned.spec.service.len()).max().unwrap_or(0).max(8);
    let mut table = format!("\n{:width$}  {:9}  URL", "FUNCTION", "STATUS");
    let mut missing = Vec::new();
    let all_until = Instant::now() + PATIENCE;
    for Planned { spec, .. } in functions {
        let (mut told, mut until) = (None, all_until);
        let status = loop {
            let status = client.status(&spec.service, spec.namespace()).await?;
            if status.available_replicas > 0 {
                break "ready";
            }
            if let Some(problem) = status.problem.filter(|problem| told.as_ref() != Some(problem)) {
                say(&format!("{}: {problem}", spec.service));
                if !problem.starts_with(NOT_YET) {
                    until = until.min(Instant::now() + WRONG);
                }
                told = Some(problem);
            }
            if Instant::now() >= until {
                missing.push(spec.service.clone());
                break "not ready";
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let address = &client.address;
        let url = match spec.namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
            None => format!("{address}/function/{}", spec.service),
            Some(namespace) => format!("{address}/function/{}.{namespace}", spec.service),
        };
        table.push_str(&format!("\n{:width$}  {status:9}  {url}", spec.service));
    }
    table.push('\n');
    Ok((table, missing))
}

/// Shows what the functions write, until they are all gone.
async fn follow(client: Client, functions: &[Planned]) -> Result<()> {
    let width = functions.iter().map(|planned| planned.spec.service.len()).max().unwrap_or(0);
    let client = std::sync::Arc::new(client);
    let mut logs = JoinSet::new();
    for Planned { spec, .. } in functions {
        let (client, name) = (std::sync::Arc::clone(&client), spec.service.clone());
        let namespace = spec.namespace().to_owned();
        logs.spawn(async move {
            let mut body = client.logs(&name, &namespace).await?;
            let mut buffer = Vec::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| Error::Unavailable(error.to_string()))?;
                buffer.extend_from_slice(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
                while let Some(text) = client::next_line(&mut buffer) {
                    say(&format!("{name:width$} | {text}"));
                }
            }
            Ok(())
        });
    }
    while let Some(ended) = logs.join_next().await {
        ended.map_err(|error| Error::Failed(error.to_string()))??;
    }
    Ok(())
}

/// To who started this. That nobody reads any more is no reason to stop.
fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}
