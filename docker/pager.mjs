// The demo pager of docker/compose.yaml: prints the alerts in Alertmanager's webhooks.
import { createServer } from "node:http";

const port = 10139;

const server = createServer(async (request, response) => {
  if (request.method === "POST") {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    print(request.url, JSON.parse(body));
  }
  response.writeHead(200).end();
});
server.listen(port, "127.0.0.1");
process.on("SIGTERM", () => process.exit(0));

function print(path, { status, alerts, groupLabels }) {
  const group = Object.values(groupLabels).join(" ");
  console.log(`${path} ${status} ${group}: ${alerts.length} alerts`);
  for (const { status: state, labels, annotations } of alerts) {
    console.log(`  ${state} ${labels.alertname} (${labels.severity}): ${annotations.description}`);
    if (annotations.story_url) console.log(`    ${annotations.story_url}`);
  }
}
