#!/bin/sh
# 把会话送进倾听，并处理它的预警；只用 curl 和 sed。
#
#   export QINGTING_URL=http://127.0.0.1:8080 QINGTING_KEY=qt_…   # 本机的服务还没有设置用户时，不用密钥
#   sh examples/curl/client.sh
set -eu
url=${QINGTING_URL:-http://127.0.0.1:8080}
id=demo-$$

call() { # 方法 路径 [请求体]；429 和 503 由 curl 按 Retry-After 重试
	method=$1 path=$2
	shift 2
	if [ $# -gt 0 ]; then
		set -- -H 'Content-Type: application/json' --data-binary "$1"
	fi
	if [ -n "${QINGTING_KEY:-}" ]; then
		set -- -H "Authorization: Bearer $QINGTING_KEY" "$@"
	fi
	curl -sS --fail-with-body --retry 5 -X "$method" "$url$path" "$@"
}

talk="{\"id\":\"$id\",\"channel\":\"im\",\"messages\":[{\"message_id\":\"m1\",\"role\":\"customer\",\"text\":\"你们乱扣费，再不退我就打12315\"}]}"
call POST '/v1/conversations?wait=analysis' "$talk" >/dev/null
# 送两次也只有一份：消息按 message_id 去重。
call POST '/v1/conversations?wait=analysis' "$talk" | grep -q '"risk":{"level":"high"' && echo "高风险 $id"
call POST "/v1/conversations/$id/messages" '{"message_id":"m2","role":"agent","text":"非常抱歉，我马上为您核实"}' >/dev/null
alert=$(call GET "/v1/alerts?open=true&conversation_id=$id" | sed -n 's/.*"id":"\(al_[a-z0-9]*\)".*/\1/p')
call POST "/v1/alerts/$alert/claim" >/dev/null
echo "已认领 $alert"
