{{/* Names. A pod's name is its service's id: at most 63 characters, and the ordinal needs some. */}}
{{- define "synod.fullname" -}}
{{- if contains "synod" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-synod" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "synod.selector" -}}
app.kubernetes.io/name: synod
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "synod.labels" -}}
{{ include "synod.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "synod.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* How services are spoken to. */}}
{{- define "synod.scheme" -}}
{{ if .Values.tls.enabled }}https{{ else }}http{{ end }}
{{- end }}

{{/* What services of one cluster have in common in their certificates. */}}
{{- define "synod.trustDomain" -}}
{{ .Values.tls.trustDomain | default (printf "%s.%s" (include "synod.fullname" .) .Release.Namespace) }}
{{- end }}

{{/* The certificate of one pod of a role: which service it is, and by which names it is reached. */}}
{{- define "synod.certificate" -}}
{{- $set := printf "%s-%s" (include "synod.fullname" .root) .role -}}
{{- $pod := printf "%s-%d" $set (int .number) -}}
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: {{ $pod }}
  labels: {{- include "synod.labels" . | nindent 4 }}
spec:
  secretName: {{ $pod }}-tls
  duration: {{ .root.Values.tls.duration }}
  renewBefore: {{ .root.Values.tls.renewBefore }}
  privateKey: { algorithm: ECDSA, size: 256, rotationPolicy: Always }
  usages: [digital signature, server auth, client auth]
  uris: ["spiffe://{{ include "synod.trustDomain" .root }}/synod/{{ .role }}/{{ $pod }}"]
  dnsNames:
    - localhost
    - {{ $pod }}.{{ $set }}.{{ .root.Release.Namespace }}.svc
{{- if eq .role "balancer" }}
    - {{ include "synod.fullname" .root }}
    - {{ include "synod.fullname" .root }}.{{ .root.Release.Namespace }}.svc
{{- end }}
  ipAddresses: [127.0.0.1]
  issuerRef: { name: {{ required "tls.issuer.name" .root.Values.tls.issuer.name }}, kind: {{ .root.Values.tls.issuer.kind }}, group: {{ .root.Values.tls.issuer.group }} }
{{- end }}

{{/* Every acceptor: those that are named, or by the name that its pod keeps wherever it runs. */}}
{{- define "synod.acceptors" -}}
{{- if .Values.acceptors.urls }}{{ join "," .Values.acceptors.urls }}{{ else -}}
{{- $name := printf "%s-acceptor" (include "synod.fullname" .) -}}
{{- range $number := until (int .Values.acceptors.count) }}{{ if $number }},{{ end }}{{ include "synod.scheme" $ }}://{{ $name }}-{{ $number }}.{{ $name }}.{{ $.Release.Namespace }}.svc:8201{{ end }}
{{- end }}
{{- end }}

{{/* What every pod has: who it is, where it is reached, and nothing that it does not need. */}}
{{- define "synod.pod" -}}
{{- $values := .root.Values -}}
{{- $name := printf "%s-%s" (include "synod.fullname" .root) .role -}}
{{- if and $values.auth.enabled (not $values.tls.enabled) }}{{ fail "auth.enabled needs tls.enabled" }}{{ end -}}
{{- $bootstrap := and (eq .role "replica") $values.auth.enabled $values.auth.bootstrapSecret -}}
{{- $probe := ternary ", scheme: HTTPS" "" $values.tls.enabled -}}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 30
{{- with $values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
  podAntiAffinity:
{{- if eq $values.antiAffinity "required" }}
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: {{ $values.topologyKey }}
        labelSelector:
          matchLabels: {{- include "synod.selector" . | nindent 12 }}
{{- else }}
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: {{ $values.topologyKey }}
          labelSelector:
            matchLabels: {{- include "synod.selector" . | nindent 14 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
containers:
  - name: {{ .role }}
    image: {{ include "synod.image" .root }}
    imagePullPolicy: {{ $values.image.pullPolicy }}
    args: [{{ .role }}]
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: { drop: [ALL] }
    ports: [{ name: http, containerPort: {{ .port }} }]
    env:
      - { name: POD_NAME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
      - { name: POD_IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }
      - { name: SYNOD_ID, value: $(POD_NAME) }
      - { name: SYNOD_LISTEN, value: "0.0.0.0:{{ .port }}" }
{{- if .stable }}
      - { name: SYNOD_ADVERTISE_URL, value: "{{ include "synod.scheme" .root }}://$(POD_NAME).{{ $name }}.{{ .root.Release.Namespace }}.svc:{{ .port }}" }
{{- else }}
      - { name: SYNOD_ADVERTISE_URL, value: "http://$(POD_IP):{{ .port }}" }
{{- end }}
{{- if ne .role "acceptor" }}
      - { name: SYNOD_ACCEPTORS, value: {{ include "synod.acceptors" .root | quote }} }
{{- end }}
{{- if .storage }}
      - { name: SYNOD_DATA_DIR, value: /data }
{{- end }}
{{- if $values.tls.enabled }}
      - { name: SYNOD_TLS_CERT, value: /tls/$(POD_NAME)/tls.crt }
      - { name: SYNOD_TLS_KEY, value: /tls/$(POD_NAME)/tls.key }
      - { name: SYNOD_TLS_CLIENT_CA, value: /tls/$(POD_NAME)/ca.crt }
{{- else }}
      - { name: SYNOD_INSECURE, value: "true" }
{{- end }}
{{- if and (eq .role "replica") $values.auth.enabled }}
      - { name: SYNOD_AUTH, value: "true" }
{{- end }}
{{- if $bootstrap }}
      - { name: SYNOD_BOOTSTRAP_FILE, value: /auth/secret }
{{- end }}
{{- if $values.zones.enabled }}
      - { name: SYNOD_ZONE, valueFrom: { fieldRef: { fieldPath: "metadata.labels['{{ $values.zones.label }}']" } } }
{{- end }}
      - { name: RUST_LOG, value: {{ $values.log | quote }} }
{{- with $values.otlpEndpoint }}
      - { name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }} }
{{- end }}
{{- range $variable, $value := .env }}
      - { name: {{ $variable }}, value: {{ $value | quote }} }
{{- end }}
    # Opening a large state takes its time; after that who does not answer is started anew.
    startupProbe: { httpGet: { path: /livez, port: http{{ $probe }} }, periodSeconds: 2, failureThreshold: 300 }
    livenessProbe: { httpGet: { path: /livez, port: http{{ $probe }} }, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 }
    readinessProbe: { httpGet: { path: /readyz, port: http{{ $probe }} }, periodSeconds: 2, timeoutSeconds: 2, failureThreshold: 3 }
    resources: {{- toYaml .resources | nindent 6 }}
{{- if or .storage $values.tls.enabled }}
    volumeMounts:
{{- if .storage }}
      - { name: data, mountPath: /data }
{{- end }}
{{- if $values.tls.enabled }}
      - { name: tls, mountPath: /tls, readOnly: true }
{{- end }}
{{- if $bootstrap }}
      - { name: auth, mountPath: /auth, readOnly: true }
{{- end }}
{{- end }}
{{- if $values.tls.enabled }}
volumes:
  # A pod of a stateful set cannot name a secret of its own: it has those of its role.
  - name: tls
    projected:
      defaultMode: 0440
      sources:
{{- range $number := until (int .count) }}
        - secret:
            name: {{ $name }}-{{ $number }}-tls
            items:
              - { key: tls.crt, path: {{ $name }}-{{ $number }}/tls.crt }
              - { key: tls.key, path: {{ $name }}-{{ $number }}/tls.key }
              - { key: ca.crt, path: {{ $name }}-{{ $number }}/ca.crt }
{{- end }}
{{- if $bootstrap }}
  - { name: auth, secret: { secretName: {{ $bootstrap }}, defaultMode: 0440, items: [{ key: secret, path: secret }] } }
{{- end }}
{{- end }}
{{- end }}

{{/* A role whose pods keep their names: a headless service, a stateful set, a budget. */}}
{{- define "synod.stateful" -}}
{{- $name := printf "%s-%s" (include "synod.fullname" .root) .role -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels: {{- include "synod.labels" . | nindent 4 }}
spec:
  clusterIP: None
  # They find each other before they are ready: that is how they become it.
  publishNotReadyAddresses: true
  selector: {{- include "synod.selector" . | nindent 4 }}
  ports: [{ name: http, port: {{ .port }}, targetPort: http }]
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $name }}
  labels: {{- include "synod.labels" . | nindent 4 }}
spec:
  serviceName: {{ $name }}
  replicas: {{ .count }}
  # None waits for another one to be ready; changes of the image still go one by one.
  podManagementPolicy: Parallel
  updateStrategy: { type: RollingUpdate, rollingUpdate: { partition: {{ .partition | default 0 }} } }
  minReadySeconds: 5
  selector:
    matchLabels: {{- include "synod.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "synod.labels" . | nindent 8 }}
    spec: {{- include "synod.pod" . | nindent 6 }}
{{- if .storage }}
  volumeClaimTemplates:
    - metadata:
        name: data
        labels: {{- include "synod.selector" . | nindent 10 }}
      spec:
        accessModes: [ReadWriteOnce]
{{- with .storage.className }}
        storageClassName: {{ . }}
{{- end }}
        resources: { requests: { storage: {{ .storage.size }} } }
{{- end }}
---
{{ include "synod.budget" . }}
{{- if .root.Values.tls.enabled }}
{{- range $number := until (int .count) }}
---
{{ include "synod.certificate" (merge (dict "number" $number) $) }}
{{- end }}
{{- end }}
{{- end }}

{{/* One pod of a role at a time is taken away on purpose. */}}
{{- define "synod.budget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "synod.fullname" .root }}-{{ .role }}
  labels: {{- include "synod.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "synod.selector" . | nindent 6 }}
{{- end }}
