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
    env::Environment,
    error::{Error, Result},
    function::FunctionSpec,
    settings::ProviderKind,
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

/// What is asked for on the command line.
#[derive(Debug)]
pub struct Request {
    /// The stack file.
    pub file: PathBuf,
    /// Which functions; `None` for all.
    pub filter: Option<String>,
    /// Where to deploy to, instead of where the file says.
    pub gateway: Option<String>,
    /// The name and the file with the password for a gateway that asks for them.
    pub login: Option<(String, PathBuf)>,
    /// Whether to end once everything is deployed.
    pub detach: bool,
}

/// A stack that was read, with all that is deployed.
#[derive(Debug)]
pub struct Plan {
    functions: Vec<Planned>,
    folder: PathBuf,
    /// Where the file or the command line says that the gateway is.
    pub gateway: Option<String>,
}

impl Plan {
    /// Reads the file and all that it names.
    ///
    /// # Errors
    /// [`Error::Invalid`] with what is wrong where.
    pub fn read(request: &Request, environment: &Environment, provider: ProviderKind) -> Result<Self> {
        let path = &request.file;
        let text = fs::read_to_string(path)
            .map_err(|error| Error::Invalid(format!("{}: {error}", path.display())))?;
        let environment = environment.all();
        let stack: Stack = stack::parse(path, &text, &environment)?;
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let place = Place { folder: &folder, environment: &environment, provider };
        let functions = plan::plan(&stack, request.filter.as_deref(), place)?;
        let gateway = request.gateway.clone().or(stack.provider.gateway);
        Ok(Self { functions, folder, gateway })
    }
}

/// Whether a gateway answers at `address`.
pub async fn answers(address: &str) -> Result<bool> {
    Ok(Client::new(address)?.is_there().await)
}

/// Deploys everything to the gateway at `address`, and follows the logs unless it is to end.
///
/// # Errors
/// The first thing that could not be done; what was deployed before stays.
pub async fn run(plan: Plan, request: &Request, address: &str) -> Result<()> {
    let mut client = Client::new(address)?;
    if let Some((user, file)) = &request.login {
        let password = fs::read_to_string(file)
            .map_err(|error| Error::Invalid(format!("{}: {error}", file.display())))?;
        client.log_in(user, password.trim());
    }
    for planned in &plan.functions {
        let spec = &planned.spec;
        if let Some(build) = &planned.build {
            say(&format!("{}: building {}", spec.service, spec.image));
            build::image(build, &spec.image).await?;
        }
        keep_secrets(&client, spec, &plan.folder).await?;
        say(&format!("{}: deploying", spec.service));
        client.deploy(spec).await?;
    }
    let table = wait(&client, &plan.functions).await;
    say(&table?);
    if request.detach {
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

/// Waits until all are ready: what each is called, how it is, where.
async fn wait(client: &Client, functions: &[Planned]) -> Result<String> {
    let width = functions.iter().map(|planned| planned.spec.service.len()).max().unwrap_or(0).max(8);
    let mut table = format!("\n{:width$}  {:9}  URL", "FUNCTION", "STATUS");
    let until = Instant::now() + PATIENCE;
    for Planned { spec, .. } in functions {
        let status = loop {
            let status = client.status(&spec.service, spec.namespace()).await?;
            if status.available_replicas > 0 {
                break "ready".to_owned();
            }
            if Instant::now() >= until {
                break status.problem.unwrap_or_else(|| "not ready".to_owned());
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
    Ok(table)
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
