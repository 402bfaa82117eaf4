{{- define "oom-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* At most 40 characters: the names of the dashboards add up to 23, and a name may have 63. */ -}}
{{- define "oom-exporter.fullname" -}}
{{- $name := include "oom-exporter.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "oom-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "oom-exporter.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* The rules find exporters that never came up by "oom-exporter" in the job name, which is this label. */ -}}
{{- define "oom-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "oom-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "oom-exporter.labels" -}}
{{ include "oom-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "oom-exporter.image" -}}
{{- $image := printf "%s/%s" .Values.image.registry .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $image .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "oom-exporter.externalUrl" -}}
{{- if .Values.externalUrl.url -}}
{{- .Values.externalUrl.url -}}
{{- else -}}
{{- printf "%s://$(NODE_IP):%d" (ternary "https" "http" (ne .Values.webConfig.secretName "")) (int (default 10137 .Values.hostPort)) -}}
{{- end -}}
{{- end -}}

{{- /* The kubelet has neither client certificate nor password: with a web configuration it checks only the port. */ -}}
{{- define "oom-exporter.probe" -}}
{{- if .root.Values.webConfig.secretName -}}
tcpSocket: { port: http }
{{- else -}}
httpGet: { path: {{ .path }}, port: http }
{{- end -}}
{{- end -}}

{{- /* One endpoint of a PodMonitor or ServiceMonitor. */ -}}
{{- define "oom-exporter.endpoint" -}}
port: http
interval: {{ .interval }}
scrapeTimeout: {{ .scrapeTimeout }}
scheme: {{ .scheme }}
{{- /* The labels pod, container and namespace describe the victim, not the exporter. */}}
honorLabels: true
{{- with .tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
relabelings:
  - sourceLabels: [__meta_kubernetes_pod_node_name]
    targetLabel: instance
  - regex: pod|container|namespace
    action: labeldrop
  {{- with .relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
