"""Whether what a chart or a stack starts is what the program takes: its roles, flags and ports."""

import re
import subprocess
import sys

import yaml


def variables(program, command):
    """The environment variables that a command of the program reads."""
    told = subprocess.run([program, command, "--help"], check=True, capture_output=True, text=True)
    return set(re.findall(r"\[env:\s+(SYNOD_[A-Z_]+)=", told.stdout))


def hold(condition, what):
    if not condition:
        sys.exit(f"deploy check: {what}")


def check_service(program, known, name, command, environment):
    known.setdefault(command, variables(program, command))
    unknown = {key for key in environment if key.startswith("SYNOD_")} - known[command]
    # The stack gives every service the same ones, and those that have no use for one leave it.
    unknown -= {"SYNOD_ACCEPTORS", "SYNOD_DATA_DIR"} if name.startswith("stack:") else set()
    hold(not unknown, f"{name}: {command} does not read {', '.join(sorted(unknown))}")


def pods(document):
    spec = document["spec"]
    template = spec["jobTemplate"]["spec"]["template"] if "jobTemplate" in spec else spec["template"]
    return template["metadata"]["labels"], template["spec"]


def check_chart(program, path):
    known = {}
    documents = [document for document in yaml.safe_load_all(open(path)) if document]
    sets = [it for it in documents if it["kind"] in ("StatefulSet", "Deployment", "CronJob")]
    hold(len(sets) >= 4, f"{path}: {len(sets)} kinds of pods")
    for it in sets:
        labels, pod = pods(it)
        name = f"{path}: {it['metadata']['name']}"
        hold(it["kind"] == "CronJob" or it["spec"]["selector"]["matchLabels"].items() <= labels.items(), f"{name} does not select its pods")
        container = pod["containers"][0]
        environment = [variable["name"] for variable in container["env"]]
        hold(len(environment) == len(set(environment)), f"{name}: a variable is there twice")
        check_service(program, known, name, container["args"][0], environment)
        values = {variable["name"]: variable.get("value", "") for variable in container["env"]}
        for url in filter(None, values.get("SYNOD_ACCEPTORS", "").split(",")):
            host = re.fullmatch(r"http://([a-z0-9-]+)-(\d+)\.([a-z0-9-]+)\.prod\.svc:8201", url)
            hold(host and host[1] == host[3], f"{name}: {url} is no pod of a headless service")
            ours = [it for it in sets if it["metadata"]["name"] == host[1]]
            hold(ours and int(host[2]) < ours[0]["spec"]["replicas"], f"{name}: nobody is {url}")
            hold(ours[0]["spec"]["serviceName"] == host[3], f"{name}: {url} is of another service")
    labels = [pods(it)[0] for it in sets]
    for it in documents:
        if it["kind"] in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
            spec = it["spec"]
            selector = spec.get("podSelector", spec.get("selector"))
            selector = selector.get("matchLabels", selector)
            chosen = sum(selector.items() <= one.items() for one in labels)
            hold(chosen == 1, f"{path}: {it['kind']} {it['metadata']['name']} selects {chosen} kinds of pods")


def check_stack(program, path):
    known = {}
    services = yaml.safe_load(open(path))["services"]
    hold(len(services) == 11, f"{path}: {len(services)} services")
    for name, it in services.items():
        environment = it["environment"]
        hold(environment["SYNOD_ID"] == name, f"{name} is called {environment['SYNOD_ID']}")
        check_service(program, known, f"stack:{name}", it["command"][0], environment)
        port = environment["SYNOD_LISTEN"].rsplit(":", 1)[1]
        hold(environment["SYNOD_ADVERTISE_URL"] == f"http://{name}:{port}", f"{name}: its address")
        hold(it["healthcheck"]["test"][-1].endswith(f":{port}"), f"{name}: its check asks elsewhere")
        for url in environment["SYNOD_ACCEPTORS"].split(","):
            host = re.fullmatch(r"http://([a-z0-9-]+):8201", url)
            hold(host and host[1] in services, f"{name}: nobody is {url}")


if sys.argv[2] == "--stack":
    check_stack(sys.argv[1], sys.argv[3])
else:
    for rendered in sys.argv[2:]:
        check_chart(sys.argv[1], rendered)
