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


def check_tls(name, documents, it, container, values):
    """With TLS every pod of a set has a certificate by its name, and nobody is asked without."""
    secured = "SYNOD_TLS_CERT" in values
    urls = [value for key, value in values.items() if key in ("SYNOD_ACCEPTORS", "SYNOD_ADVERTISE_URL") and value]
    scheme = "https://" if secured else "http://"
    hold(all(url.startswith(scheme) for one in urls for url in one.split(",")), f"{name}: {urls}, not all {scheme}")
    if not secured:
        return
    probes = [container[kind]["httpGet"].get("scheme") for kind in ("startupProbe", "livenessProbe", "readinessProbe")]
    hold(probes == ["HTTPS"] * 3, f"{name}: probes by {probes}")
    role, sources = container["args"][0], pods(it)[1]["volumes"][0]["projected"]["sources"]
    hold(len(sources) == it["spec"]["replicas"], f"{name}: {len(sources)} certificates")
    issued = {one["metadata"]["name"]: one["spec"] for one in documents if one["kind"] == "Certificate"}
    for number in range(it["spec"]["replicas"]):
        pod = f"{it['metadata']['name']}-{number}"
        spec = issued.get(pod)
        hold(spec, f"{name}: {pod} has no certificate")
        hold(spec["uris"][0].endswith(f"/synod/{role}/{pod}"), f"{name}: {spec['uris']}")
        hold(f"{pod}.{it['spec']['serviceName']}.prod.svc" in spec["dnsNames"], f"{name}: {spec['dnsNames']}")
        hold(sources[number]["secret"]["name"] == spec["secretName"], f"{name}: {pod} has another one's secret")


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
            host = re.fullmatch(r"https?://([a-z0-9-]+)-(\d+)\.([a-z0-9-]+)\.prod\.svc:8201", url)
            hold(host and host[1] == host[3], f"{name}: {url} is no pod of a headless service")
            ours = [it for it in sets if it["metadata"]["name"] == host[1]]
            hold(ours and int(host[2]) < ours[0]["spec"]["replicas"], f"{name}: nobody is {url}")
            hold(ours[0]["spec"]["serviceName"] == host[3], f"{name}: {url} is of another service")
        check_tls(name, documents, it, container, values)
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


if sys.argv[1] == "--own":
    kinds = [it for it in yaml.safe_load_all(open(sys.argv[2])) if it and it["kind"] not in ("PodMonitor", "Certificate")]
    yaml.safe_dump_all(kinds, sys.stdout)
elif sys.argv[2] == "--stack":
    check_stack(sys.argv[1], sys.argv[3])
else:
    for rendered in sys.argv[2:]:
        check_chart(sys.argv[1], rendered)
