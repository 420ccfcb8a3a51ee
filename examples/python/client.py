"""把会话送进倾听，并处理它的预警；只用 Python 标准库。

    export QINGTING_URL=http://127.0.0.1:8080 QINGTING_KEY=qt_…   # 本机的服务还没有设置用户时，不用密钥
    python3 examples/python/client.py
"""

import json
import os
import time
import urllib.error
import urllib.request
import uuid

BASE = os.environ.get("QINGTING_URL", "http://127.0.0.1:8080")
KEY = os.environ.get("QINGTING_KEY", "")


def call(method, path, body=None):
    """发一个请求。429 和 503 按 Retry-After 稍后重试；有 Idempotency-Key，重试不会重复执行。"""
    headers = {"Authorization": "Bearer " + KEY} if KEY else {}
    data = None
    if body is not None:
        data = json.dumps(body, ensure_ascii=False).encode("utf-8")
        headers["Content-Type"] = "application/json"
    if method == "POST":
        headers["Idempotency-Key"] = uuid.uuid4().hex
    for attempt in range(6):
        request = urllib.request.Request(BASE + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                text = answer.read()
                return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            if error.code in (429, 503) and attempt < 5:
                time.sleep(max(1, int(error.headers.get("Retry-After", "1"))))
                continue
            problem = json.loads(error.read())
            raise SystemExit(f"{method} {path}：{error.code} {problem['code']} {problem['detail']}")


def main():
    talk_id = "demo-" + uuid.uuid4().hex[:8]
    talk = {
        "id": talk_id,
        "channel": "im",
        "messages": [{"message_id": "m1", "role": "customer", "text": "你们乱扣费，再不退我就打12315"}],
    }
    # 送两次也只有一份：消息按 message_id 去重。
    for _ in range(2):
        answer = call("POST", "/v1/conversations?wait=analysis", talk)
    call("POST", f"/v1/conversations/{talk_id}/messages",
         {"message_id": "m2", "role": "agent", "text": "非常抱歉，我马上为您核实"})
    if answer["analysis"]["risk"]["level"] == "high":
        print("高风险", answer["analysis"]["priority"], talk_id)
    for alert in call("GET", f"/v1/alerts?open=true&conversation_id={talk_id}")["items"]:
        call("POST", f"/v1/alerts/{alert['id']}/claim")
        print("已认领", alert["id"])


if __name__ == "__main__":
    main()
