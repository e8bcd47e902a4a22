// A geofence on the map: its outline, and whether a place lies in it. By the rules of pipeline/clickhouse/geofences.py.

import { toX, toY } from "./projection.js";

const RADIUS_M = 6_371_229; // of the sphere that ClickHouse's greatCircleDistance uses
const CORNERS = 72; // that a circle is drawn with
const radians = (degrees) => (degrees * Math.PI) / 180;

export class Fence {
  // As `GET /v1/fleet/geofences` has it.
  constructor({ name, circle, polygon }) {
    Object.assign(this, { name, circle, polygon });
    const corners = circle ? around(circle) : polygon.map(([latitude, longitude]) => [latitude, this.#near(longitude)]);
    this.south = Math.min(...corners.map(([latitude]) => latitude));
    this.north = Math.max(...corners.map(([latitude]) => latitude));
    this.corners = corners;
    this.outline = corners.map(([latitude, longitude]) => [toX(longitude), toY(latitude)]);
  }

  get kind() {
    const { circle, polygon } = this;
    if (!circle) return `${polygon.length} corners`;
    return circle.radius_m < 1000 ? `${Math.round(circle.radius_m)} m around a point` : `${(circle.radius_m / 1000).toFixed(1)} km around a point`;
  }

  // O(corners), and O(1) for what lies north or south of it.
  holds(latitude, longitude) {
    if (latitude < this.south || latitude > this.north) return false;
    if (this.circle) return distance(this.circle, latitude, longitude) <= this.circle.radius_m;
    const at = this.#near(longitude);
    let inside = false;
    // Inside if a ray to the east crosses an odd number of edges.
    this.corners.forEach(([lat, lon], i) => {
      const [toLat, toLon] = this.corners[(i + 1) % this.corners.length];
      if (lat > latitude !== toLat > latitude && at < lon + ((toLon - lon) * (latitude - lat)) / (toLat - lat)) inside = !inside;
    });
    return inside;
  }

  // A longitude beside the first corner and not on the far side of the earth: a polygon may span the 180th meridian.
  #near(longitude) {
    const first = this.polygon[0][1];
    return first + ((((longitude - first + 180) % 360) + 360) % 360) - 180;
  }
}

function distance({ latitude, longitude }, lat, lon) {
  const [a, b] = [radians(latitude), radians(lat)];
  const h = Math.sin((b - a) / 2) ** 2 + Math.cos(a) * Math.cos(b) * Math.sin(radians(lon - longitude) / 2) ** 2;
  return 2 * RADIUS_M * Math.asin(Math.min(1, Math.sqrt(h)));
}

function around({ latitude, longitude, radius_m: radius }) {
  const [lat, reach] = [radians(latitude), radius / RADIUS_M];
  return Array.from({ length: CORNERS }, (_, i) => {
    const bearing = (2 * Math.PI * i) / CORNERS;
    const sine = Math.sin(lat) * Math.cos(reach) + Math.cos(lat) * Math.sin(reach) * Math.cos(bearing);
    const east = Math.atan2(Math.sin(bearing) * Math.sin(reach) * Math.cos(lat), Math.cos(reach) - Math.sin(lat) * sine);
    return [(Math.asin(sine) * 180) / Math.PI, longitude + (east * 180) / Math.PI];
  });
}
