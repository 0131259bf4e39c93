{{/* The labels by which pods of a component are selected; also the gateways' label setting. */}}
{{- define "spanway.selector" -}}
app.kubernetes.io/name: spanway
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "spanway.labels" -}}
{{ include "spanway.selector" . }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "spanway.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What both components have in common in a pod. */}}
{{- define "spanway.pod" -}}
{{- $own := index .root.Values .component -}}
serviceAccountName: spanway-{{ .component }}
# The variables of the Service spanway-link would be taken for settings.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
topologySpreadConstraints:
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "spanway.selector" $ | nindent 6 }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 0 }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations: {{- toYaml . | nindent 0 }}
{{- end }}
{{- with $own.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* What both components have in common in a container. */}}
{{- define "spanway.container" -}}
image: {{ include "spanway.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
resources: {{- toYaml (index .root.Values .component).resources | nindent 2 }}
startupProbe:
  httpGet: {path: /live, port: health}
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /ready, port: health}
  periodSeconds: 1
  failureThreshold: 2
  timeoutSeconds: 2
livenessProbe:
  httpGet: {path: /live, port: health}
  periodSeconds: 10
  failureThreshold: 3
  timeoutSeconds: 5
{{- end }}

{{- define "spanway.environment" -}}
- {name: SPANWAY_CLUSTER, value: {{ .root.Values.cluster | quote }}}
- {name: SPANWAY_TRUST_DOMAIN, value: {{ .root.Values.trustDomain | quote }}}
- {name: SPANWAY_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- {name: SPANWAY_POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: SPANWAY_POD_UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
- {name: SPANWAY_POD_IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
- {name: SPANWAY_GATEWAY_ACCOUNT, value: spanway-gateway}
- {name: SPANWAY_CONTROLLER_ACCOUNT, value: spanway-controller}
- {name: SPANWAY_ADMIN, value: "127.0.0.1:15000"}
- {name: SPANWAY_HEALTH, value: "[::]:15021"}
- {name: RUST_LOG, value: {{ .root.Values.log | quote }}}
{{- end }}

{{- define "spanway.grace" -}}
{{ add (int .Values.drain.leave) (int .Values.drain.settle) (int .Values.drain.drain) 10 }}
{{- end }}
