// Another implementation of multicast DNS, bonjour-service. `find` prints the first desktop that it sees as JSON;
// `publish ID PORT` says that there is one here, until its standard input ends.
import { Bonjour } from "bonjour-service";

const [what, id, port] = process.argv.slice(2);
const bonjour = new Bonjour();

function leave() {
  bonjour.unpublishAll(() => bonjour.destroy(() => process.exit(0)));
}

if (what === "find") {
  bonjour.find({ type: "orchestrator" }, ({ addresses, port, txt }) => {
    if (!addresses?.length) return;
    console.log(JSON.stringify({ addresses, port, txt }));
    leave();
  });
} else {
  bonjour.publish({ name: "from javascript", type: "orchestrator", port: Number(port), txt: { id, api: "1" } });
  process.stdin.on("end", leave).resume();
}
