{{- define "ijepa.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "ijepa.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "ijepa.labels" -}}
{{ include "ijepa.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "ijepa.image" -}}
{{ with .root.Values.image.registry }}{{ . }}/{{ end }}ijepa-{{ .part }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* Of a pod that needs no rights; a worker's ranks open /dev/nvidia*, which the device plugin lets them. */}}
{{- define "ijepa.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Whether the coordinator makes JobSets: "true" or "false". */}}
{{- define "ijepa.jobSets" -}}
{{ and .Values.jobs.jobSets (.Capabilities.APIVersions.Has "jobset.x-k8s.io/v1alpha2") }}
{{- end }}

{{- define "ijepa.jobsNamespace" -}}
{{ .Values.jobs.namespace | default .Release.Namespace }}
{{- end }}

{{- define "ijepa.coordinatorSecret" -}}
{{ .Values.tls.coordinatorSecret | default (printf "%s-coordinator-tls" (include "ijepa.name" .)) }}
{{- end }}
