"""The Cypher that writes a network."""

from __future__ import annotations

from ingest.once import MARK
from ingest.removal import WITHDRAWN
from store.query import Query

CLAIM = Query(
    "claim_network",
    "Takes a network id and a range of neuron ids, and marks the network as being written.",
    # Setting a property locks the store node before its counters are read: two writers that
    # begin at once get different numbers.
    """
MATCH (store:Store {key: 'weightome'})
SET store.locked = true
WITH store, store.next_network AS id, store.next_neuron AS first
SET store.next_network = id + 1, store.next_neuron = first + $neurons
REMOVE store.locked
CREATE (:Network {
    id: id, status: 'writing', wanted_name: $name, writer: $writer,
    lease: datetime() + duration({seconds: $seconds}),
    first_neuron: first, plan: $plan, plan_block_links: $block_links, plan_workers: $workers
})
RETURN id, first
""",
    ("id", "first"),
)

RIVALS = Query(
    "rival_writers",
    "Whether the name belongs to a complete network or to one that is being written.",
    """
MATCH (network:Network)
WHERE network.name = $name OR (network.status = 'writing' AND network.wanted_name = $name)
RETURN network.id AS id, network.status AS status
ORDER BY id
""",
    ("id", "status"),
)

BEGUN = Query(
    "begun_networks",
    "Networks of a name that a writer began and did not finish, with who it was.",
    """
MATCH (network:Network {status: 'writing', wanted_name: $name})
RETURN network.id AS id, network.first_neuron AS first, network.writer AS writer,
       network.plan AS plan, network.plan_block_links AS block_links,
       network.plan_workers AS workers, network.lease < datetime() AS expired
ORDER BY id DESC
""",
    ("id", "first", "writer", "plan", "block_links", "workers", "expired"),
)

TAKE_UP = Query(
    "take_up",
    "Makes what a writer began that has ended the caller's to finish.",
    # Locked before its writer is read: of two callers one goes on.
    """
MATCH (network:Network {id: $id}) WHERE network.status = 'writing'
SET network.locked = true
REMOVE network.locked
WITH network WHERE network.status = 'writing' AND network.writer = $ended
SET network.writer = $writer, network.lease = datetime() + duration({seconds: $seconds})
RETURN network.id AS id
""",
    ("id",),
)

WRITE_LAYERS = Query(
    "write_layers",
    "Creates the layers and parameters of a network, and what feeds what.",
    f"""
{MARK}
WITH 1 AS one
MATCH (network:Network {{id: $network}})
CALL (network) {{
    UNWIND $layers AS properties
    MERGE (layer:Layer {{network: $network, index: properties.index}})
    SET layer = properties
    MERGE (network)-[:HAS_LAYER]->(layer)
}}
CALL (network) {{
    UNWIND $parameters AS properties
    CREATE (network)-[:HAS_PARAMETER]->(parameter:Parameter)
    SET parameter = properties
}}
UNWIND $feeds AS edge
MATCH (source:Layer {{network: $network, index: edge[0]}})
MATCH (target:Layer {{network: $network, index: edge[1]}})
CREATE (source)-[feeds:FEEDS]->(target)
SET feeds += edge[2]
""",
)

KEEP_TENSOR = Query(
    "keep_tensor",
    "Keeps the values of a tensor that no neuron or link holds.",
    """
MATCH (parameter:Parameter {network: $id, index: $index})
SET parameter.values = $values
""",
)

WRITE_NEURONS = Query(
    "write_neurons",
    "Creates a range of a layer's neurons.",
    f"""
{MARK}
WITH 1 AS one
MATCH (layer:Layer {{network: $network, index: $layer}})
UNWIND range($start, $stop - 1) AS index
CREATE (layer)-[:HAS_NEURON]->(neuron:Neuron {{id: layer.first + index, index: index}})
SET neuron += coalesce($rows[index - $start], {{}})
""",
)

WRITE_RECTANGLE = Query(
    "write_rectangle",
    "Creates a rectangle of learned links, every source with every target.",
    # Targets are looked up once and weights come as one flat list: twice as fast as one map per
    # link (bench/ingest_rates.py).
    f"""
{MARK}
WITH 1 AS one
MATCH (target:Neuron) WHERE $target_first <= target.id < $target_end
WITH target ORDER BY target.id
WITH collect(target) AS targets
MATCH (source:Neuron) WHERE $source_first <= source.id < $source_end
WITH targets, source, source.id - $source_first AS row
UNWIND range(0, size(targets) - 1) AS column
WITH source, targets[column] AS target, $weights[row * size(targets) + column] AS weight,
     $param + row * $source_stride + column * $target_stride AS param
CREATE (source)-[:LINK {{weight: weight, param: param}}]->(target)
""",
)

# The ends come as places in ascending lists of ids, so that each neuron is looked up once.
_ENDS = f"""
{MARK}
WITH 1 AS one
UNWIND $source_ids AS id
MATCH (source:Neuron {{id: id}})
WITH source ORDER BY source.id
WITH collect(source) AS sources
UNWIND $target_ids AS id
MATCH (target:Neuron {{id: id}})
WITH sources, target ORDER BY target.id
WITH sources, collect(target) AS targets
UNWIND range(0, size($weights) - 1) AS i
WITH sources[$sources[i]] AS source, targets[$targets[i]] AS target, i
"""

WRITE_LINKS = Query(
    "write_links",
    "Creates learned links, each with its own ends.",
    _ENDS
    + """
CREATE (source)-[:LINK {
    weight: $weights[i], param: $params[i], position: $positions[i]
}]->(target)
""",
)

WRITE_WIRES = Query(
    "write_wires",
    "Creates fixed links, each with its own ends.",
    _ENDS + "CREATE (source)-[:WIRE {weight: $weights[i], position: $positions[i]}]->(target)",
)

COMPLETE = Query(
    "complete_network",
    "Gives a written network its name and its run, and takes the name from the one it replaces.",
    # Locked before it is looked at: nobody may take it over between the look and the change.
    f"""
MATCH (network:Network {{id: $id}})
SET network.locked = true
REMOVE network.locked
WITH network WHERE network.status = 'writing' AND network.writer = $writer
CALL () {{
    MATCH (old:Network {{id: $replaces, status: 'complete'}})
    {WITHDRAWN.strip()}
}}
CALL (network) {{
    WITH network WHERE $run IS NOT NULL
    MERGE (run:Run {{name: $run}})
    CREATE (run)-[:SNAPSHOT {{step: $step}}]->(network)
}}
CALL (network) {{
    MATCH (block:Block {{network: network.id}})
    DELETE block
}}
SET network += $properties, network.name = $name, network.status = 'complete',
    network.created = toString(datetime.truncate('second', datetime()))
REMOVE network.wanted_name, network.writer, network.lease, network.first_neuron, network.plan,
    network.plan_block_links, network.plan_workers
RETURN network.id AS id
""",
    ("id",),
)
