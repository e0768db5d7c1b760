//! Images from Dockerfiles.

use std::{collections::BTreeMap, fs, path::Path};

use gateway_lite::{error::Error, provider::docker::build::build_image};

use super::ground::{SOCKET, call, order_with, yard};

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[tokio::test]
async fn template_with_a_handler_becomes_an_image() {
    let Some(yard) = yard().await else { return };
    let context = yard.directory.path().join("template");
    let handler = yard.directory.path().join("handler");
    let dockerfile = "FROM kennel/alpine\nARG GREETING=none\nCOPY . /home/app/\n\
                      RUN echo $GREETING > /home/app/greeting\n\
                      ENV fprocess=\"cat greeting function/words ignored\"\n";
    write(&context.join("Dockerfile"), dockerfile);
    write(&context.join("function/words"), "template's\n");
    write(&context.join("ignored"), "sent\n");
    write(&context.join(".dockerignore"), "ignored\n");
    write(&handler.join("words"), "handler's\n");
    fs::write(context.join("large"), vec![7; 3 << 20]).unwrap();
    let arguments = BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]);
    let mut said = Vec::new();
    let tag = "kennel-test/template:1";
    let say = |line: &str| said.push(line.to_owned());
    // As root, for the file that RUN makes.
    build_image(SOCKET, None, &context, Some(&handler), tag, &arguments, say).await.unwrap();
    assert!(said.iter().any(|line| line.starts_with("Step 1/")), "{said:?}");
    let provider = yard.provider().await;
    let script = "cat greeting function/words; ls ignored large 2>/dev/null; true";
    let fields = serde_json::json!({"image": tag, "envProcess": "sh"});
    let id = yard.running(&provider, &order_with("built", fields)).await;
    assert_eq!(call(&provider, &id, script).await, "hello\nhandler's\nlarge\n");
}

#[tokio::test]
async fn step_that_fails_is_told_in_the_engines_words() {
    let Some(yard) = yard().await else { return };
    let context = yard.directory.path().join("fails");
    let none = BTreeMap::new();
    let mut said = Vec::new();
    let mut build = async |dockerfile: &str| {
        write(&context.join("Dockerfile"), dockerfile);
        let say = |line: &str| said.push(line.to_owned());
        build_image(SOCKET, None, &context, None, "kennel-test/fails", &none, say).await
    };
    let error = build("FROM kennel/alpine\nRUN echo no compiler; exit 4\n").await.unwrap_err();
    assert!(matches!(&error, Error::Failed(text) if text.contains("code: 4")), "{error:?}");
    let error = build("FROM kennel/alpine\nNONSENSE\n").await.unwrap_err();
    assert!(error.to_string().contains("NONSENSE"), "{error:?}");
    let error = build("FROM kennel/alpine\nCOPY missing /\n").await.unwrap_err();
    assert!(error.to_string().contains("missing"), "{error:?}");
    assert!(said.iter().any(|line| line == "no compiler"), "{said:?}");
}
