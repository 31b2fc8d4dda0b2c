{{- define "fairlead.selector" -}}
app.kubernetes.io/name: fairlead
{{- end -}}

{{- define "fairlead.labels" -}}
{{ include "fairlead.selector" . }}
app.kubernetes.io/component: service-proxy
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "fairlead.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{- define "fairlead.mounts" -}}
- name: config
  mountPath: {{ .Values.configDirectory }}
  readOnly: true
- name: state
  mountPath: /var/lib/fairlead
- name: run
  mountPath: /run/fairlead
- name: xtables-lock
  mountPath: /run/xtables.lock
- name: modules
  mountPath: /lib/modules
  readOnly: true
{{- end -}}

{{- define "fairlead.environment" -}}
- name: NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
{{- end -}}
